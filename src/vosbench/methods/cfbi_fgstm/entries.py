"""Which entries of a batch run: background and objects of every clip, folded into one axis (specification 2)."""

from dataclasses import dataclass
from itertools import groupby

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Entries:
    """P pairs of clip and entry, clip by clip, entry 0 (background) first. Channels that hold no object are not among them,
    nor is a clip without any object."""

    clips: list[int]
    numbers: list[int]

    @staticmethod
    def of(known: list[list[bool]]) -> "Entries":
        """`known` says which of the N channels of each clip hold an object."""
        pairs = [
            (clip, number)
            for clip, channels in enumerate(known)
            if any(channels)
            for number, used in enumerate([True, *channels])
            if used
        ]
        return Entries([clip for clip, _ in pairs], [number for _, number in pairs])

    def __len__(self) -> int:
        return len(self.clips)

    def passes(self, length: int | None) -> list[tuple[int, int]]:
        """Bounds of runs of at most `length` entries."""
        step = length or max(1, len(self))
        return [(start, min(start + step, len(self))) for start in range(0, len(self), step)]

    def part(self, start: int, stop: int) -> "Entries":
        """Entries start..stop-1."""
        return Entries(self.clips[start:stop], self.numbers[start:stop])

    def by_clip(self) -> list[tuple[int, int, int]]:
        """Clip, start and stop of each clip's run of entries."""
        found, start = [], 0
        for clip, group in groupby(self.clips):
            stop = start + sum(1 for _ in group)
            found.append((clip, start, stop))
            start = stop
        return found

    def index(self, device: torch.device) -> tuple[Int[Tensor, "P"], Int[Tensor, "P"]]:
        """Clips and entries as an index."""
        return torch.tensor(self.clips, device=device), torch.tensor(self.numbers, device=device)

    def take(self, dense: Float[Tensor, "B K *rest"]) -> Float[Tensor, "P *rest"]:
        """The entries of a tensor with dense (B, K) axes."""
        if len(self) == dense.shape[0] * dense.shape[1]:
            return dense.flatten(0, 1)
        return dense[self.index(dense.device)]

    def spread(self, values: Float[Tensor, "P *rest"], batch: int, count: int, empty: float) -> Float[Tensor, "B K *rest"]:
        """Back to dense axes, `empty` where no entry runs."""
        if len(self) == batch * count:
            return values.unflatten(0, (batch, count))
        return values.new_full((batch, count, *values.shape[1:]), empty).index_put(self.index(values.device), values)

    def present(self, batch: int, count: int, device: torch.device) -> Bool[Tensor, "B K"]:
        """Which dense places run."""
        return self.spread(torch.ones(len(self), device=device), batch, count, 0.0) > 0
