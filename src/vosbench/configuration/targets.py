"""Which classes a configuration may name, and how a node of it becomes an object: `build`.

A `_target_` is code that a YAML file runs. Only prefixes listed here are followed, and the object found must itself come
from there (`vosbench.x.os.system` begins well and ends elsewhere).
"""

import inspect
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vosbench.configuration.places import suggestion
from vosbench.errors import ConfigError, VosbenchError

ALLOWED_TARGETS = (
    "vosbench.",
    "torch.nn.",
    "torch.optim.",
    "pytorch_lightning.callbacks.",
    "pytorch_lightning.loggers.",
)
# Set by the command line alone (--allow-target), for a configuration must not be able to widen its own list.
ALLOW_VARIABLE = "VOSBENCH_ALLOW_TARGETS"


def allow_targets(prefixes: Sequence[str]) -> None:
    """Widen the list for this process and the jobs it starts; an inherited widening is forgotten."""
    os.environ[ALLOW_VARIABLE] = ",".join(prefixes)


def targets(node: Any, place: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every node with a `_target_` and its dotted place, outermost first; `node` is made of plain dicts and lists."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield place, node
        for key, value in node.items():
            yield from targets(value, f"{place}.{key}".lstrip("."))
    elif isinstance(node, (list, tuple)):
        for position, value in enumerate(node):
            yield from targets(value, f"{place}[{position}]")


def check_targets(config: Any) -> None:
    """ConfigError for the first `_target_` in plain dicts and lists that is not allowed. Imports nothing."""
    allowed = allowed_prefixes()
    for place, node in targets(config):
        name = node["_target_"]
        if not (isinstance(name, str) and name.startswith(allowed)):
            listed = ", ".join(f"{prefix}*" for prefix in allowed)
            raise ConfigError(
                f"{place}._target_ is '{name}', but a configuration may only name classes of {listed}; "
                f"if you trust the file it comes from, add --allow-target {str(name).rpartition('.')[0]}."
            )


def allowed_prefixes() -> tuple[str, ...]:
    """The list, with what the command line added."""
    added = [prefix.strip().rstrip(".") + "." for prefix in os.environ.get(ALLOW_VARIABLE, "").split(",") if prefix.strip()]
    return ALLOWED_TARGETS + tuple(added)


def build(config: Any, **extra: Any) -> Any:
    """The object that a configuration node describes, with plain lists and dicts for arguments.

    Everything is checked before anything is made: the allow-list, and every argument against its signature. `extra`
    arguments are handed to the outermost call.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True) if OmegaConf.is_config(config) else config
    check_targets(plain)
    for place, node in targets(plain):
        _check_arguments(place, node)
    try:
        return instantiate(plain, _convert_="all", **extra)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, VosbenchError):  # a class of ours refused its arguments with a sentence of its own
            raise cause from error
        if isinstance(cause, ValueError):  # an argument out of its range
            raise ConfigError(f"{cause}; change the configuration.") from error
        raise


def _check_arguments(place: str, node: Mapping[str, Any]) -> None:
    from hydra.errors import InstantiationException
    from hydra.utils import get_object

    name = node["_target_"]
    try:
        target = get_object(name)
    except (ImportError, AttributeError, ValueError, InstantiationException) as error:
        if isinstance(error.__cause__, ImportError) and not str(getattr(error.__cause__, "name", "")).startswith(
            name.split(".")[0]
        ):
            raise  # the class is there, something that it imports is not
        raise ConfigError(f"{place or 'The configuration'}: there is no '{name}'; check its _target_.") from error
    home = getattr(target, "__module__", None) or ""
    if not f"{home}.".startswith(allowed_prefixes()):
        raise ConfigError(f"{place}._target_ '{name}' leads to {home}, outside what a configuration may name.")
    known = inspect.signature(target).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in known.values()):
        return
    for key in node:
        if not key.startswith("_") and key not in known:
            raise ConfigError(
                f"{place or 'The configuration'}: {name.rpartition('.')[2]} has no argument '{key}'; {suggestion(key, known)}"
            )
