"""Scores taken apart: by sequence and by frame. Reads the form of scores.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any


def object_mean(item: Mapping[str, Any]) -> float:
    """J&F of one object."""
    return (item["J_mean"] + item["F_mean"]) / 2


@dataclass(frozen=True)
class SequenceRow:
    """One sequence in numbers of [0, 1], each the mean over its objects; None where the sequence has none."""

    name: str
    frames: int  # scored ones
    objects: int
    j: float | None
    f: float | None
    jf: float | None


def sequence_rows(scores: Mapping[str, Any]) -> list[SequenceRow]:
    """Every sequence, in the order of scores.json."""
    rows = []
    for name, sequence in scores["sequences"].items():
        objects = list(sequence["objects"].values())
        j, f, jf = None, None, None
        if objects:
            j, f = fmean(item["J_mean"] for item in objects), fmean(item["F_mean"] for item in objects)
            jf = (j + f) / 2
        rows.append(SequenceRow(name, len(sequence["frames"]), len(objects), j, f, jf))
    return rows


def ranked(scores: Mapping[str, Any]) -> list[SequenceRow]:
    """Sequences with a score, the worst J&F first."""
    return sorted((row for row in sequence_rows(scores) if row.jf is not None), key=lambda row: row.jf or 0.0)


def per_frame(sequence: Mapping[str, Any], measure: str) -> list[float | None]:
    """Mean over the objects of "J" or "F" in each frame of a sequence; None where no object is scored.

    An object that is scored in fewer frames than the sequence tells which in its own "frames"; without them its list
    ends with the sequence, as that of an object which enters late.
    """
    position = {name: index for index, name in enumerate(sequence["frames"])}
    values: list[list[float]] = [[] for _ in position]
    for item in sequence["objects"].values():
        names = item.get("frames") or sequence["frames"][len(sequence["frames"]) - len(item[measure]) :]
        for name, value in zip(names, item[measure], strict=False):
            if value is not None and name in position:
                values[position[name]].append(value)
    return [fmean(here) if here else None for here in values]
