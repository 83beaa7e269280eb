"""What two frozen configurations differ in, and which of it a run may be resumed with."""

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Where things lie, on what they run and who is told: nothing that changes a weight. Precision is not among them.
CHANGEABLE = (
    "resume",
    "out",
    "job.*",
    "logger",
    "logger.*",
    "*root",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.nodes",
    "trainer.node_rank",
    "trainer.rendezvous",
    "trainer.strategy",
    "trainer.threads",
    "trainer.workers",
)


@dataclass(frozen=True)
class Absent:
    """Stands for a key that one of the two does not have."""

    def __repr__(self) -> str:
        return "(absent)"


@dataclass(frozen=True)
class Change:
    """One key whose value differs."""

    place: str
    before: Any
    after: Any

    @property
    def allowed(self) -> bool:
        """Whether a run may go on with it."""
        return any(fnmatch.fnmatchcase(self.place, pattern) for pattern in CHANGEABLE)

    def __str__(self) -> str:
        return f"  {self.place}: {self.before!r} -> {self.after!r}"


def leaves(node: Any, place: str = "") -> dict[str, Any]:
    """Values by dotted key; a list is one value."""
    if not (isinstance(node, Mapping) and node):
        return {place: node}
    found: dict[str, Any] = {}
    for key, value in node.items():
        found |= leaves(value, f"{place}.{key}".lstrip("."))
    return found


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Keys whose values differ, in the order of their names."""
    old, new = leaves(before), leaves(after)
    return [
        Change(place, old.get(place, Absent()), new.get(place, Absent()))
        for place in sorted(old.keys() | new.keys())
        if old.get(place, Absent()) != new.get(place, Absent())
    ]


def changed(config: dict[str, Any], differences: list[Change]) -> dict[str, Any]:
    """The configuration with the new values written in; self is left as it is."""
    result = _copied(config)
    # What goes, goes first: a node may become a plain value in place of its keys, or the other way round.
    for change in sorted(differences, key=lambda change: not isinstance(change.after, Absent)):
        *parents, key = change.place.split(".")
        node = result
        for parent in parents:
            node = node.setdefault(parent, {})
        if isinstance(change.after, Absent):
            node.pop(key, None)
        else:
            node[key] = change.after
    return result


def _copied(node: Any) -> Any:
    return {key: _copied(value) for key, value in node.items()} if isinstance(node, dict) else node
