"""Learning rates as pure functions of the iteration, so that a resumed run cannot disagree with an uninterrupted one.

A schedule gives the multiplier of the optimiser's learning rate. `share` is that of a parameter group (`training.groups`).
"""

import math


class StepDecay:
    """Linear warm-up, then the rate times `factor` at every milestone."""

    def __init__(self, milestones: list[int], factor: float, warmup: int) -> None:
        """`milestones` and `warmup` in iterations."""
        self.milestones, self.factor, self.warmup = milestones, factor, warmup

    def __call__(self, iteration: int, share: float = 1.0) -> float:
        """Multiplier of the optimiser's learning rate."""
        rate = share * self.factor ** sum(iteration >= milestone for milestone in self.milestones)
        return rate * min(1.0, (iteration + 1) / self.warmup) if self.warmup else rate


class PolyDecay:
    """Linear warm-up from `floor`, then ``floor + share (1 - floor) (1 - (i - w) / (total - w + 1))^power``.

    Source: the public code of AOT (power 0.9; section 6.3 of its spec), also CFBI's with ``floor = 1e-5 / lr``.
    """

    def __init__(self, total: int, power: float, warmup: int, floor: float) -> None:
        """`total` and `warmup` in iterations; `floor` is a part of the learning rate, in [0, 1)."""
        if not 0 <= warmup < total:
            raise ValueError(f"need 0 <= warmup < total, got warmup={warmup}, total={total}")
        self.total, self.power, self.warmup, self.floor = total, power, warmup, floor

    def __call__(self, iteration: int, share: float = 1.0) -> float:
        """Multiplier of the optimiser's learning rate."""
        if iteration < self.warmup:
            height = (iteration + 1) / self.warmup
        else:
            # A fraction of the stage is left after the last step, too; a stage made longer by hand stays at the floor.
            height = max(0.0, 1 - (iteration - self.warmup) / (self.total - self.warmup + 1)) ** self.power
        return self.floor + share * (1 - self.floor) * height


class OneCycle:
    """Half a cosine up from `start` to 1 over the first `rise` of the steps, half a cosine down to `end` over the others."""

    def __init__(self, total: int, rise: float, start: float, end: float) -> None:
        """`total` in iterations, `rise` a part of it; `start` and `end` are parts of the learning rate."""
        if not 0 < rise < 1:
            raise ValueError(f"rise must lie between 0 and 1, got {rise}: it is the part of the steps in which the rate grows")
        self.total, self.rise, self.start, self.end = total, rise, start, end

    def __call__(self, iteration: int, share: float = 1.0) -> float:
        """Multiplier of the optimiser's learning rate."""
        peak = self.rise * self.total
        if iteration < peak:
            return share * _half_cosine(self.start, 1.0, iteration / peak)
        return share * _half_cosine(1.0, self.end, min(1.0, (iteration - peak) / (self.total - peak)))


def _half_cosine(begin: float, end: float, progress: float) -> float:
    return end + (begin - end) * (1 + math.cos(math.pi * progress)) / 2
