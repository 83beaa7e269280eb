"""Weights from a checkpoint into a network, with a full account of what fitted and what did not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from vosbench.errors import CheckpointError

PREFIX = "method."  # of the network's keys inside a training checkpoint
AVERAGE = "average"  # key of a training checkpoint under which the averaged weights lie, beside the weights themselves


@dataclass
class LoadReport:
    """What a load did, key by key."""

    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # the network has them, the checkpoint has not
    unexpected: list[str] = field(default_factory=list)  # the checkpoint has them, the network has not
    mismatched: list[str] = field(default_factory=list)  # both have them, in different shapes
    share: float = 1.0  # of the network's numbers that were loaded, in [0, 1]

    def sentence(self) -> str:
        """The account in one line."""
        parts = [f"{len(self.loaded)} keys loaded ({100 * self.share:.1f} % of the network)"]
        for name in ("missing", "unexpected", "mismatched"):
            keys = getattr(self, name)
            if keys:
                shown = ", ".join(keys[:4]) + (", ..." if len(keys) > 4 else "")
                parts.append(f"{len(keys)} {name} ({shown})")
        return "; ".join(parts)


def network_weights(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """The network's state dict inside a checkpoint of ours (the averaged weights, where it has them) or a bare state dict."""
    if isinstance(checkpoint.get(AVERAGE), dict):
        return dict(checkpoint[AVERAGE])
    state = checkpoint.get("state_dict", checkpoint)
    if any(str(key).startswith(PREFIX) for key in state):
        state = {key[len(PREFIX) :]: value for key, value in state.items() if key.startswith(PREFIX)}
    return {str(key): value for key, value in state.items() if isinstance(value, Tensor)}


def fit(network: nn.Module, state: Mapping[str, Tensor]) -> LoadReport:
    """What a load of `state` would do; nothing is copied."""
    own = network.state_dict()
    report = LoadReport(unexpected=sorted(state.keys() - own.keys()), missing=sorted(own.keys() - state.keys()))
    for key in sorted(own.keys() & state.keys()):
        (report.loaded if own[key].shape == state[key].shape else report.mismatched).append(key)
    total = sum(tensor.numel() for tensor in own.values())
    report.share = sum(own[key].numel() for key in report.loaded) / total if total else 1.0
    return report


def load_weights(network: nn.Module, state: dict[str, Tensor], origin: str, least_share: float = 1.0) -> LoadReport:
    """Copy what fits into the network; `CheckpointError` when less than `least_share` of its numbers come from `state`.

    `origin` names the checkpoint in messages. Nothing is copied when the load is refused.
    """
    report = fit(network, state)
    if report.share < least_share:
        raise CheckpointError(
            f"{origin}: fits only {100 * report.share:.1f} % of this network ({report.sentence()}); it belongs to another method or size: "
            "give the checkpoint of this one, or train with allow_partial=true to start from what fits."
        )
    network.load_state_dict({key: state[key] for key in report.loaded}, strict=False)
    return report
