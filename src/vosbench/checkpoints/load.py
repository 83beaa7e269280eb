"""`load`: a method, ready to use, from a checkpoint that says by itself which network it belongs to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vosbench.checkpoints.files import read_checkpoint
from vosbench.checkpoints.weights import load_weights, network_weights
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
    method = build(without_pretrained(identity_of(content, origin)["network"]))
    if not isinstance(method, Method):
        raise CheckpointError(f"{origin}: names {type(method).__name__} as its network, which is no method of vosbench.")
    load_weights(method, network_weights(content), origin)
    return method.eval()


def load_into(method: Method, checkpoint: Path, name: str, size: str) -> None:
    """Weights of a checkpoint into a network that the configuration has built; both must be the same method and size."""
    content = read_checkpoint(checkpoint)
    identity = content.get(IDENTITY)
    if isinstance(identity, dict) and (identity.get("method"), identity.get("size")) != (name, size):
        raise CheckpointError(
            f"{checkpoint}: holds {identity.get('method')} (size {identity.get('size')}) but {name} (size {size}) is asked for; "
            f"say +method={identity.get('method')} size={identity.get('size')}, or give the checkpoint of a {size} {name}."
        )
    load_weights(method, network_weights(content), str(checkpoint))
