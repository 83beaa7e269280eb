"""The objects of a frame, folded into the batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

Pair = tuple[int, int]  # clip and channel of an object
Item = TypeVar("Item")


@dataclass(frozen=True)
class Folded:
    """P objects of B clips with N channels each; some of them are given (prompted) in this frame, the others are sought."""

    pairs: list[Pair]
    given: list[bool]

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def clips(self) -> list[int]:
        """Clip of every object."""
        return [clip for clip, _ in self.pairs]

    @property
    def channels(self) -> list[int]:
        """Channel of every object."""
        return [channel for _, channel in self.pairs]

    @property
    def sought(self) -> list[int]:
        """Places of the objects that are not given."""
        return [place for place, is_given in enumerate(self.given) if not is_given]

    def in_order(self, of_given: Sequence[Item], of_sought: Sequence[Item]) -> list[Item]:
        """Both in the order of the objects."""
        given, sought = iter(of_given), iter(of_sought)
        return [next(given) if is_given else next(sought) for is_given in self.given]

    def joined(self, of_given: Shaped[Tensor, "G *rest"], of_sought: Shaped[Tensor, "S *rest"]) -> Shaped[Tensor, "P *rest"]:
        """Both in the order of the objects, for tensors."""
        places = range(len(self))
        return rows(torch.cat([of_given, of_sought]), self.in_order(places[: len(of_given)], places[len(of_given) :]))

    def spread(self, values: Float[Tensor, "P *rest"], shape: tuple[int, int], empty: float) -> Float[Tensor, "B N *rest"]:
        """Values at their places of the dense axes (B, N), `empty` elsewhere."""
        if len(self) == shape[0] * shape[1]:
            return values.unflatten(0, shape)
        flat = values.new_full((shape[0] * shape[1], *values.shape[1:]), empty)
        return flat.index_copy(0, _index(self.flat(shape[1]), values.device), values).unflatten(0, shape)

    def flat(self, channels: int) -> list[int]:
        """Places of the objects on the axes (B, N) joined to one."""
        return [clip * channels + channel for clip, channel in self.pairs]


def rows(values: Shaped[Tensor, "M *rest"], places: list[int]) -> Shaped[Tensor, "K *rest"]:
    """The rows at these places. Not ``values[places]``: that waits for the device, and copies where a view would do."""
    if places == list(range(len(values))):
        return values
    if len(set(places)) == 1:
        return values[places[0]].expand(len(places), *values.shape[1:])
    return values.index_select(0, _index(places, values.device))


def _index(places: list[int], device: torch.device) -> Tensor:
    return torch.tensor(places, dtype=torch.long).to(device, non_blocking=True)
