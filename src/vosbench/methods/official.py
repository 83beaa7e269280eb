"""Published weights of a method's own authors: what a family of methods says of such files.

A method package that can read them has a module called ``official`` with three names, and is found by that:

- ``FAMILY``: whose files these are, for messages, such as ``"AOT and DeAOT (yoxu515/aot-benchmark)"``;
- ``recognised(shapes: Mapping[str, tuple[int, ...]]) -> Official | None``: which published network this is, told from keys and
  shapes alone; None for anything else. It must not raise, whatever the keys are;
- ``converted(state: Mapping[str, Tensor]) -> Converted``: the weights under our names, by rule.

Keys come without the ``module.`` of data-parallel training. Completeness is not theirs to check: who loads the weights
insists on every key of the network.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Official:
    """One published network."""

    name: str  # as its authors call it, "R50-AOT-L"; where a file cannot tell two apart, both
    method: str  # our method that is this network, "aot"
    overrides: tuple[str, ...]  # what composes exactly this network beside +method=: ("size=paper", "method.variant=r50_aotl")

    @property
    def words(self) -> str:
        """What to type on the command line to get this network."""
        return " ".join([f"+method={self.method}", *self.overrides])


@dataclass
class Converted:
    """A published state dict, sorted out: every key of it is in exactly one of the first three."""

    weights: dict[str, Tensor] = field(default_factory=dict)  # by our names
    ignored: dict[str, str] = field(default_factory=dict)  # key that our network has no use for -> why
    unplaced: list[str] = field(default_factory=list)  # keys that no rule knows
    sources: dict[str, str] = field(default_factory=dict)  # our name of a weight -> the published key


def sorted_out(
    state: Mapping[str, Tensor], place: Callable[[str], str | None], ignored: Mapping[str, str] | None = None
) -> Converted:
    """Sort a state dict by a rule for names: `place` gives our name of a key, or None for a key it does not know.

    `ignored` says why keys are left out, by a regular expression that the whole key matches; it is asked first.
    """
    result = Converted()
    for key, tensor in state.items():
        reason = next((why for pattern, why in (ignored or {}).items() if re.fullmatch(pattern, key)), None)
        own = place(key) if reason is None else None
        if reason is not None:
            result.ignored[key] = reason
        elif own is None or own in result.weights:
            result.unplaced.append(key)
        else:
            result.weights[own], result.sources[own] = tensor, key
    return result


def renamed(key: str, rules: Iterable[tuple[str, str]]) -> str | None:
    """Our name of a key by the first rule, pattern and replacement, that its beginning matches; None where there is none."""
    for pattern, name in rules:
        own, found = re.subn(f"^{pattern}", name, key)
        if found:
            return own
    return None
