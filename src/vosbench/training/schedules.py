"""Learning rates as pure functions of the iteration, so that a resumed run cannot disagree with an uninterrupted one."""


class StepDecay:
    """Linear warm-up, then the rate times `factor` at every milestone."""

    def __init__(self, milestones: list[int], factor: float, warmup: int) -> None:
        """`milestones` and `warmup` in iterations."""
        self.milestones, self.factor, self.warmup = milestones, factor, warmup

    def __call__(self, iteration: int) -> float:
        """Multiplier of the optimiser's learning rate."""
        rate = self.factor ** sum(iteration >= milestone for milestone in self.milestones)
        return rate * min(1.0, (iteration + 1) / self.warmup) if self.warmup else rate
