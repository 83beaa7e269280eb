"""From a composed configuration to plain values that a job can run with: every key known, given, absolute, allowed."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vosbench.configuration.comparison import leaves
from vosbench.configuration.composition import Composed, Source
from vosbench.configuration.overrides import PATH_KEYS, CommandLine, no_method
from vosbench.configuration.places import suggestion
from vosbench.configuration.targets import check_targets
from vosbench.errors import ConfigError

Plain = dict[str, Any]


def freeze(composed: Composed, overrides: list[str], source: Source) -> Plain:
    """The configuration as plain values, or ConfigError with what is wrong in it."""
    if composed.choices.get("method") is None:
        raise no_method()
    known = source.reference(composed, overrides).config
    for place, siblings in unknown_keys(_raw(composed.config), _raw(known)):
        raise unknown_key(place, siblings)
    check_missing(composed.config)
    try:
        plain = OmegaConf.to_container(composed.config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or 'The configuration'} cannot be resolved: {first_line(error)}.") from error
    assert isinstance(plain, dict)
    config: Plain = {str(key): value for key, value in plain.items()} | {"method_name": composed.choices["method"]}
    check_targets(config)
    check_devices(config)
    return absolute_paths(config)


def freeze_line(line: CommandLine) -> tuple[Plain, Composed]:
    """Compose and freeze what a command line says, in this process and without running anything."""
    source, overrides = Source.of(line), line.without_hydra().texts
    composed = source.compose(overrides)
    return freeze(composed, overrides, source), composed


def unknown_keys(config: Any, known: Any, place: str = "") -> Iterator[tuple[str, list[str]]]:
    """Dotted keys that stand in `config` but not in `known`, with the keys that do.

    A node that `known` leaves empty takes anything. So does a class that is not ours, for its YAML does not list all its
    arguments; `build` compares them with its signature. So does a mapping that a call of ours is given as a value, such as
    `groups.shares`: its keys are the user's.
    """
    if not (isinstance(config, Mapping) and isinstance(known, Mapping) and known):
        return
    target = config.get("_target_", "vosbench.")
    if target != known.get("_target_", "vosbench."):
        return
    for key, value in config.items():
        here = f"{place}.{key}".lstrip(".")
        if key in known:
            is_value = "_target_" in config and isinstance(value, Mapping) and "_target_" not in value
            yield from () if is_value else unknown_keys(value, known[key], here)
        elif str(target).startswith("vosbench.") and not (isinstance(key, str) and key.startswith("_")):
            yield here, [str(name) for name in known if not str(name).startswith("_")]


def unknown_key(place: str, siblings: list[str]) -> ConfigError:
    """The sentence on a key that nothing reads."""
    parent, _, key = place.rpartition(".")
    where = f"'{parent}' has no key '{key}'" if parent else f"There is no key '{key}'"
    return ConfigError(f"{where}; {suggestion(key, siblings)}")


def check_missing(config: DictConfig) -> None:
    """ConfigError that names the mandatory keys (`???`) without a value."""
    # Not OmegaConf.missing_keys: it raises on an interpolation to such a key.
    missing = [place for place, value in leaves(_raw(config)).items() if value == "???"]
    if missing:
        example = " ".join(f"{key}=<{key.rpartition('.')[2]}>" for key in missing)
        raise ConfigError(f"{' and '.join(missing)} must be given: add {example} to the command.")


def check_devices(config: Mapping[str, Any]) -> None:
    """ConfigError for numbers of processes that cannot be started."""
    trainer = config.get("trainer") or {}
    for key in ("devices", "nodes"):
        value = trainer.get(key, 1)
        if not isinstance(value, int) or value < 1:
            raise ConfigError(f"trainer.{key} is {value!r}, but it is a number of at least 1; write trainer.{key}=1.")
    if trainer.get("nodes", 1) > 1 and not (trainer.get("rendezvous") and config.get("out")):
        raise ConfigError(
            f"trainer.nodes is {trainer['nodes']}, and the nodes need a place to meet and one run folder that all of them see; "
            "add trainer.rendezvous=<host of node 0>:29400 out=<folder>, and trainer.node_rank=<0, 1, ...> on each."
        )


def absolute_paths(config: Plain) -> Plain:
    """The same values, the user's paths absolute: the job may run in another directory or on another machine."""
    return {key: _absolute(key, value, str(key)) for key, value in config.items()}


def _absolute(key: Any, value: Any, place: str) -> Any:
    if isinstance(value, dict):
        return {name: _absolute(name, item, f"{place}.{name}") for name, item in value.items()}
    if isinstance(value, list):
        return [_absolute(key, item, f"{place}[{position}]") for position, item in enumerate(value)]
    if key not in PATH_KEYS or not isinstance(value, str) or not value:
        return value
    if re.match(r"[a-z][a-z0-9+.-]+://", value):
        raise ConfigError(f"{place} is the address '{value}', but only local files are read; download it and give its path.")
    return os.path.abspath(Path(value).expanduser())


def first_line(error: Exception) -> str:
    """The first line of a message, without its full stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _raw(config: DictConfig) -> Any:
    return OmegaConf.to_container(config, resolve=False)
