"""Dataclasses of tensors: moved, detached, cut along the batch, padded along the objects and counted as one value."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

Own = TypeVar("Own", bound="TensorFields")  # not typing.Self, which the tests' type checker takes in no function


def _map(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: _map(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_map(item, change) for item in value)
    return value


@dataclasses.dataclass
class TensorFields:
    """Base of `Features` and `Memory`: fields are tensors, plain numbers, None, or lists, tuples and dicts of those."""

    def map(self: Own, change: Callable[[Tensor], Tensor]) -> Own:
        """The same value with every tensor changed; self is left as it is."""
        return dataclasses.replace(self, **{name: _map(value, change) for name, value in self.fields().items()})

    def to(self: Own, device: torch.device | str) -> Own:
        """A copy on another device."""
        return self.map(lambda tensor: tensor.to(device))

    def detach(self: Own) -> Own:
        """The same values, cut off from the graph."""
        return self.map(Tensor.detach)

    def fields(self) -> dict[str, Any]:
        """Field values by name, not copied: plain containers and tensors, so `torch.save` writes them and
        `torch.load(weights_only=True)` reads them; `type(memory)(**saved)` restores."""
        return {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}

    def num_bytes(self) -> int:
        """Bytes of all tensors held."""
        total = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal total
            total += tensor.numel() * tensor.element_size()
            return tensor

        self.map(count)
        return total
