"""`load`: a method, ready to use, from a checkpoint that says by itself which network it belongs to, or shows it by its keys."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from torch import nn

from vosbench.checkpoints.files import read_checkpoint
from vosbench.checkpoints.public import families, recognised
from vosbench.checkpoints.weights import LoadReport, fit, load_weights, network_weights
from vosbench.configuration.composition import Source
from vosbench.configuration.places import conf_folder
from vosbench.configuration.targets import build
from vosbench.errors import CheckpointError
from vosbench.methods.method import Method

IDENTITY = "vosbench"  # key under which a checkpoint keeps what it is: method, size, the network's call


def identity_of(checkpoint: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """What a checkpoint of ours says of itself; `CheckpointError` for one that says nothing."""
    identity = checkpoint.get(IDENTITY)
    if not isinstance(identity, dict) or "network" not in identity:
        raise CheckpointError(
            f"{origin}: does not say which network it belongs to; give a checkpoint that vosbench wrote (runs/.../last.ckpt), "
            f"one with the public weights of {', '.join(family.FAMILY for family in families())}, "
            "or name the method on the command line together with checkpoint=<file>."
        )
    return identity


def without_pretrained(network: Any) -> Any:
    """The same call with every `pretrained` key off: the checkpoint brings all weights, no other file is needed."""
    if isinstance(network, Mapping):
        # A switch is turned off; the name of a set of weights becomes none.
        off = {key: False if isinstance(value, bool) else None for key, value in network.items() if key == "pretrained"}
        return {str(key): without_pretrained(value) for key, value in network.items()} | off
    return [without_pretrained(value) for value in network] if isinstance(network, (list, tuple)) else network


def load(checkpoint: str | Path | Mapping[str, Any]) -> Method:
    """The method of a checkpoint in eval mode, on the CPU. `checkpoint` is a path or the loaded content of one.

    Nothing in the file can run: tensors and plain values are read, and only classes of vosbench are built from them.
    """
    origin = str(checkpoint) if isinstance(checkpoint, (str, Path)) else "the given state dict"
    content = read_checkpoint(checkpoint) if isinstance(checkpoint, (str, Path)) else dict(checkpoint)
    method = build(without_pretrained(_network(content, origin)))
    if not isinstance(method, Method):
        raise CheckpointError(f"{origin}: names {type(method).__name__} as its network, which is no method of vosbench.")
    receive(method, content, origin)
    return method.eval()


def _network(content: Mapping[str, Any], origin: str) -> Any:
    """The call that makes the network of a checkpoint."""
    public = None if IDENTITY in content else recognised(content)
    if public is None:
        return identity_of(content, origin)["network"]
    composed = Source(conf_folder()).compose([f"+method={public.official.method}", *public.official.overrides])
    return OmegaConf.to_container(composed.config.method, resolve=True)


def receive(network: nn.Module, content: Mapping[str, Any], origin: str, least_share: float = 1.0) -> LoadReport:
    """Weights of a checkpoint, ours or a public one, into a network; refused when less than `least_share` of its numbers
    come from there."""
    public = None if IDENTITY in content else recognised(content)
    if public is None:
        return load_weights(network, network_weights(dict(content)), origin, least_share)
    report = fit(network, public.converted.weights)
    if report.share < least_share:
        raise CheckpointError(
            f"{origin}: holds {public.official.name}, which fits only {100 * report.share:.1f} % of this network "
            f"({report.sentence()}); say {public.official.words} for the network that it belongs to, or give a complete file."
        )
    public.announce(origin, report.unexpected)
    return load_weights(network, public.converted.weights, origin, least_share)


def load_into(method: Method, checkpoint: Path, name: str, size: str) -> None:
    """Weights of a checkpoint into a network that the configuration has built; both must be the same method and size, or for a
    public one the same network."""
    content = read_checkpoint(checkpoint)
    identity = content.get(IDENTITY)
    if isinstance(identity, dict) and (identity.get("method"), identity.get("size")) != (name, size):
        raise CheckpointError(
            f"{checkpoint}: holds {identity.get('method')} (size {identity.get('size')}) but {name} (size {size}) is asked for; "
            f"say +method={identity.get('method')} size={identity.get('size')}, or give the checkpoint of a {size} {name}."
        )
    receive(method, content, str(checkpoint))
