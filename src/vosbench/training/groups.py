"""`Groups`: parameters that learn at a share of the rate, and parameters without weight decay."""

from collections.abc import Mapping
from typing import Any

from torch import nn


class Groups:
    """Splits the trainable parameters of a network for its optimiser.

    `shares`: prefix of parameter names -> share of the learning rate above the schedule's floor (an encoder that learns
    slowly). `without_decay`: names or their ends that get no weight decay; with `decay_vectors` false no bias and no norm
    weight (tensor of one dimension) gets any.
    """

    def __init__(self, shares: Mapping[str, float], without_decay: list[str], decay_vectors: bool) -> None:
        self.shares, self.without_decay, self.decay_vectors = dict(shares), without_decay, decay_vectors

    def __call__(self, network: nn.Module) -> list[dict[str, Any]]:
        """Groups for a torch optimiser, in an order that depends on the names alone; ``share`` is kept for the schedule."""
        groups: dict[tuple[float, bool], dict[str, Any]] = {}
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                key = (self._share(name), self._decays(name, parameter.dim()))
                if key not in groups:
                    groups[key] = {"params": [], "share": key[0]} | ({} if key[1] else {"weight_decay": 0.0})
                groups[key]["params"].append(parameter)
        return list(groups.values())

    def _share(self, name: str) -> float:
        return next((share for prefix, share in self.shares.items() if name.startswith(prefix)), 1.0)

    def _decays(self, name: str, dimensions: int) -> bool:
        return (self.decay_vectors or dimensions > 1) and not name.endswith(tuple(self.without_decay))
