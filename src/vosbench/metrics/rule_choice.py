"""The five protocols by name."""

from collections.abc import Mapping, Sequence

from vosbench.errors import ConfigError
from vosbench.metrics.listed_rules import LvosRule, YoutubeVosRule
from vosbench.metrics.rules import DavisRule, GenericRule, Rule, SingleRule

PROTOCOLS = ("davis", "single", "generic", "ytvos", "lvos")
NEED_META = ("ytvos", "lvos")


def check_protocol(protocol: str, skip_first_and_last: bool = True) -> None:
    """Raise `ConfigError` for a name that is none, or a switch that this protocol does not have."""
    if protocol not in PROTOCOLS:
        raise ConfigError(f"protocol={protocol} is unknown; choose one of {', '.join(PROTOCOLS)}.")
    if not skip_first_and_last and protocol != "generic":
        raise ConfigError(f"skip_first_and_last=false belongs to protocol=generic, not {protocol}; choose one of the two.")


def rule_for(
    protocol: str,
    frame_names: Sequence[str],
    sequence: str,
    *,
    object_frames: Mapping[int, Sequence[str]] | None = None,
    frame_nums: Mapping[int, int] | None = None,
    skip_first_and_last: bool = True,
) -> Rule:
    """The rule of one sequence with these annotated frames.

    `object_frames` (ytvos, lvos): the frames of each object's life in time order, first and last included. `frame_nums` (lvos):
    how many frames the meta file says that these are.
    """
    check_protocol(protocol, skip_first_and_last)
    if protocol == "davis":
        return DavisRule(frame_names, sequence)
    if protocol == "single":
        return SingleRule(frame_names, sequence)
    if protocol == "generic":
        return GenericRule(frame_names, sequence, skip_first_and_last)
    if object_frames is None:
        raise ValueError(f"sequence '{sequence}': protocol {protocol} needs object_frames, the frames of each object")
    if protocol == "ytvos":
        return YoutubeVosRule(frame_names, sequence, object_frames)
    return LvosRule(frame_names, sequence, object_frames, frame_nums)
