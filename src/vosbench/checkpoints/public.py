"""Checkpoints of the methods' own authors: recognised by their keys, and read under our names.

A family of methods takes part by having a module called ``official`` (see `vosbench.methods.official`).
"""

import importlib
import importlib.util
import logging
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from torch import Tensor

import vosbench.methods
from vosbench.methods.official import Converted, Official

log = logging.getLogger(__name__)

PARALLEL = "module."  # in front of every key, where a network was saved out of data-parallel training


@dataclass
class PublicCheckpoint:
    """A recognised file."""

    official: Official
    family: str
    converted: Converted

    def announce(self, origin: str, unexpected: list[str]) -> None:
        """Tell the log which network it is, and what of the file is not used; `unexpected` are weights, by our names, for which
        the network has no place."""
        log.info("%s: %s, of %s; its network is %s", origin, self.official.name, self.family, self.official.words)
        for reason in dict.fromkeys(self.converted.ignored.values()):
            keys = [key for key, why in self.converted.ignored.items() if why == reason]
            log.info("%s: left out: %s (%s)", origin, listed(keys), reason)
        unused = [*self.converted.unplaced, *(self.converted.sources.get(name, name) for name in unexpected)]
        if unused:
            log.warning("%s: %d keys have no place in this network and are not used: %s", origin, len(unused), ", ".join(unused))


def listed(keys: list[str], most: int = 4) -> str:
    """Some of the keys, and how many there are more."""
    more = len(keys) - most
    return ", ".join(keys[:most]) + (f" and {more} more" if more > 0 else "")


def families() -> list[ModuleType]:
    """The modules that know public files, by name."""
    packages = [each.name for each in pkgutil.iter_modules(vosbench.methods.__path__, "vosbench.methods.") if each.ispkg]
    names = [f"{package}.official" for package in sorted(packages)]
    return [importlib.import_module(name) for name in names if importlib.util.find_spec(name) is not None]


def recognised(content: Mapping[str, Any]) -> PublicCheckpoint | None:
    """The public network in the content of a file: a state dict, alone or under ``state_dict``."""
    state = bare(content)
    shapes = {key: tuple(tensor.shape) for key, tensor in state.items()}
    for family in families():
        official = family.recognised(shapes)
        if official is not None:
            return PublicCheckpoint(official, family.FAMILY, family.converted(state))
    return None


def bare(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a state dict, without the prefix of data-parallel training."""
    state = content.get("state_dict", content)
    if not isinstance(state, Mapping):
        return {}
    return {str(key).removeprefix(PARALLEL): value for key, value in state.items() if isinstance(value, Tensor)}
