"""Which objects a memory knows, and the way between the padded object axis (B, N) and the registered objects alone (P)."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor
from torch.nn import functional as F

from vosbench.methods.method import Masks, Memory

Own = TypeVar("Own", bound="RegisteredMemory")
Made = TypeVar("Made", Tensor, tuple[Tensor, ...])

# A given mask whose largest value stays below this is empty: an absent object is aggregated to 1e-7, a real one, even if
# resized to a faint spot, to far more.
EMPTY = 1e-3


@dataclass(kw_only=True)
class RegisteredMemory(Memory):
    """Which objects are registered, and since which write."""

    born: list[list[int]]  # B x N: number of the write that registered the object, -1 for none
    registered: Bool[Tensor, "B N"]  # the same on the device
    pairs: Int[Tensor, "2 P"]  # clip and channel of every registered object, clip by clip
    writes: int = 0  # frames written so far; 0 exactly while no object is registered
    last_write: int = -1  # number of the frame written last

    def with_registered(self: Own, given: Bool[Tensor, "B N"]) -> Own:
        """With the given objects registered at the coming write; those known already stay as they are."""
        now = given.tolist()
        born = [
            [self.writes if fresh and write < 0 else write for fresh, write in zip(*rows, strict=True)]
            for rows in zip(now, self.born, strict=True)
        ]
        return dataclasses.replace(self, born=born, registered=self.registered | given, pairs=_pairs(born, given.device))

    def grown_fields(self, objects: int) -> dict[str, Any]:
        """The fields that a longer object axis changes."""
        more = objects - self.objects
        return {
            "objects": objects,
            "born": [clip + [-1] * more for clip in self.born],
            "registered": F.pad(self.registered, (0, more)),
        }


def unregistered(batch: int, objects: int, device: torch.device) -> dict[str, Any]:
    """The fields of `RegisteredMemory` while nothing is registered."""
    born = [[-1] * objects for _ in range(batch)]
    registered = torch.zeros(batch, objects, dtype=torch.bool, device=device)
    return {"born": born, "registered": registered, "pairs": _pairs(born, device)}


def entering(masks: Masks) -> Bool[Tensor, "B N"]:
    """Objects whose mask is given in this frame and not empty."""
    return masks.given & (masks.planes.amax((2, 3)) > EMPTY) if masks.given.shape[1] else masks.given


def spread(values: Shaped[Tensor, "P *rest"], pairs: Int[Tensor, "2 P"], shape: torch.Size) -> Shaped[Tensor, "B N *rest"]:
    """Values of the registered objects at their places of the dense (B, N) axes, zeros elsewhere."""
    if values.shape[0] == shape.numel():
        return values.unflatten(0, shape)
    return values.new_zeros(*shape, *values.shape[1:]).index_put((pairs[0], pairs[1]), values)


def in_passes(
    function: Callable[[Tensor, Tensor, Tensor], Made], pairs: Int[Tensor, "2 P"], objects_per_pass: int | None
) -> Made:
    """`function(number, clip, channel)` over the registered objects, at most `objects_per_pass` at once; None: all.

    It makes one tensor "P *rest", or a tuple of them.
    """
    number = torch.arange(pairs.shape[1], device=pairs.device)
    length = objects_per_pass or max(1, len(number))
    passes = zip(number.split(length), pairs[0].split(length), pairs[1].split(length), strict=True)
    parts: list[Any] = [function(*indices) for indices in passes]
    if len(parts) == 1:
        return parts[0]
    return tuple(map(torch.cat, zip(*parts, strict=True))) if isinstance(parts[0], tuple) else torch.cat(parts)  # type: ignore[return-value]


def _pairs(born: list[list[int]], device: torch.device) -> Int[Tensor, "2 P"]:
    found = [(clip, channel) for clip, row in enumerate(born) for channel, write in enumerate(row) if write >= 0]
    return torch.tensor(found, dtype=torch.long, device=device).view(-1, 2).T
