"""`MemoryBank`: keys and values of written frames, bounded by dropping the least frequently used elements."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn import functional as F

from vosbench.layers.tensor_fields import TensorFields

FRESH_LIFE = 1e-7  # reads of an element that was never offered; keeps use / life finite


@dataclass
class MemoryBank(TensorFields):
    """M elements per clip, oldest first; one element is one location of one written frame.

    Values are dense over the objects: an element written before an object was registered holds zeros for it.
    """

    key: Float[Tensor, "B Ck M"]
    shrinkage: Float[Tensor, "B 1 M"]
    value: Float[Tensor, "B N Cv M"]
    write_no: Int[Tensor, "B M"]  # number of the write that made the element, from 0
    use: Float[Tensor, "B M"]  # weight it received in all reads
    life: Float[Tensor, "B M"]  # reads since it was written
    protected: Bool[Tensor, "B M"]  # written from a given mask, hence never dropped

    @classmethod
    def written(
        cls,
        key: Float[Tensor, "B Ck L"],
        shrinkage: Float[Tensor, "B 1 L"],
        value: Float[Tensor, "B N Cv L"],
        *,
        write_no: int,
        protected: bool,
    ) -> "MemoryBank":
        """The elements of one frame, not read yet."""
        batch, _, locations = key.shape
        count = torch.zeros(batch, locations, device=key.device)
        return cls(
            key=key,
            shrinkage=shrinkage,
            value=value,
            write_no=torch.full((batch, locations), write_no, device=key.device),
            use=count,
            life=count + FRESH_LIFE,
            protected=torch.full((batch, locations), protected, device=key.device),
        )

    @property
    def size(self) -> int:
        """Elements held, M."""
        return self.key.shape[-1]

    def joined(self, newer: "MemoryBank") -> "MemoryBank":
        """Both, the newer elements last."""
        mine, theirs = self.fields(), newer.fields()
        return MemoryBank(**{name: torch.cat([mine[name], theirs[name]], -1) for name in mine})

    def used(self, usage: Float[Tensor, "B M"]) -> "MemoryBank":
        """After one read in which each element received that weight."""
        return MemoryBank(**{**self.fields(), "use": self.use + usage, "life": self.life + 1})

    def evicted(self, capacity: int) -> "MemoryBank":
        """At most `capacity` elements, if enough may go: those with the lowest use per read go first, the oldest of equals
        first; never a protected one, never one of the newest write.

        Each clip of a batch drops its own elements; their number is common, because protection is.
        """
        excess = self.size - capacity
        if excess <= 0:
            return self
        eligible = ~self.protected & (self.write_no < self.write_no[:, -1:])
        excess = min(excess, int(eligible[0].sum()))
        if excess == 0:
            return self
        score = (self.use / self.life).masked_fill(~eligible, torch.inf)
        return self.taken(score.argsort(dim=1, stable=True)[:, excess:].sort(dim=1).values)

    def most_used(self, count: int) -> "MemoryBank":
        """The `count` elements with the highest use per read, the newest of equals first, in their order."""
        excess = max(0, self.size - count)
        return self.taken((self.use / self.life).argsort(dim=1, stable=True)[:, excess:].sort(dim=1).values)

    def taken(self, place: Int[Tensor, "B K"]) -> "MemoryBank":
        """The elements at these places, each clip its own."""
        return MemoryBank(**{name: taken(tensor, place) for name, tensor in self.fields().items()})

    def grown(self, objects: int) -> "MemoryBank":
        """With a longer object axis; the new objects have no values."""
        value = F.pad(self.value, (0, 0, 0, 0, 0, objects - self.value.shape[1]))
        return MemoryBank(**{**self.fields(), "value": value})


def taken(tensor: Shaped[Tensor, "B *rest M"], place: Int[Tensor, "B K"]) -> Shaped[Tensor, "B *rest K"]:
    """The elements at these places of the last axis, each clip its own."""
    wide = place.view(place.shape[0], *[1] * (tensor.dim() - 2), place.shape[1])
    return tensor.gather(-1, wide.expand(*tensor.shape[:-1], place.shape[1]))
