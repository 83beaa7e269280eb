"""Which frames and which objects of one sequence a benchmark scores: one small rule per protocol (evaluation spec, section 4).

A rule lives as long as its sequence: it is shown the label maps in time order and answers which objects count in each.
"""

import abc
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from vosbench.errors import DatasetError
from vosbench.metrics.labels import labels_above

LabelMap = npt.NDArray[np.uint8]
IGNORED = 255  # DAVIS 2017: background in the semi-supervised task, not left out


@dataclass
class Track:
    """What one object scored, frame by frame."""

    frames: list[str] = field(default_factory=list)
    j: list[float] = field(default_factory=list)
    f: list[float] = field(default_factory=list)


class Rule(abc.ABC):
    """What all protocols share. `frames` are looked at in the ground truth, `scored` need a prediction."""

    name: ClassVar[str]
    binary: ClassVar[bool] = False  # every label above 0 is the one object
    has_decay: ClassVar[bool] = True

    def __init__(self, frames: Sequence[str], scored: Sequence[str]) -> None:
        self.frames, self.scored = list(frames), list(scored)

    @abc.abstractmethod
    def objects(self, frame: str, ground_truth: LabelMap, predicted: set[int]) -> list[int]:
        """Ids that count in this frame. `predicted` holds the labels of the prediction above `labels_in_order()`."""

    @abc.abstractmethod
    def known_ids(self) -> set[int]:
        """Ids that the ground truth has, as far as it was shown: any other label of a prediction is stray."""

    def labels_in_order(self) -> int:
        """Predicted labels up to here are known without looking: ids 1, 2, ... without a gap."""
        return 0

    def plain_score(self, object_id: int) -> tuple[float, float] | None:
        """J and F of an object of the frame shown last where they follow from absence, else None."""
        return None

    def kept(self, tracks: dict[int, Track]) -> dict[int, Track]:
        """The tracks to be reported, by rising id."""
        return {object_id: tracks[object_id] for object_id in sorted(tracks)}


def between_first_and_last(frames: Sequence[str], sequence: str) -> list[str]:
    """All frames but the first, which is given, and the last (DAVIS)."""
    if len(frames) < 3:
        raise DatasetError(
            f"Sequence '{sequence}' has {len(frames)} annotated frame(s) and the first and last are not scored, so nothing is "
            "left; masks that stay on a benchmark's server cannot be scored here, and skip_short=true leaves short sequences out."
        )
    return list(frames[1:-1])


class DavisRule(Rule):
    """DAVIS 2017, semi-supervised: ids 1 to the largest of the first ground-truth frame, absent ones included."""

    name = "davis"

    def __init__(self, frames: Sequence[str], sequence: str) -> None:
        scored = between_first_and_last(frames, sequence)
        super().__init__([frames[0], *scored], scored)
        self.sequence, self.largest = sequence, 0

    def objects(self, frame: str, ground_truth: LabelMap, predicted: set[int]) -> list[int]:
        if frame == self.frames[0]:
            self.largest = max(labels_above(ground_truth, 0) - {IGNORED}, default=0)
            if not self.largest:
                raise DatasetError(
                    f"Sequence '{self.sequence}', frame '{frame}': the first ground-truth frame holds no object, and davis "
                    "scores no other; use protocol=generic where objects enter later."
                )
            return []
        return list(range(1, self.largest + 1))

    def known_ids(self) -> set[int]:
        return set(range(1, self.largest + 1))

    def labels_in_order(self) -> int:
        return self.largest


class SingleRule(Rule):
    """DAVIS 2016: one object, whatever is above 0 on both sides."""

    name = "single"
    binary = True

    def __init__(self, frames: Sequence[str], sequence: str) -> None:
        scored = between_first_and_last(frames, sequence)
        super().__init__(scored, scored)

    def objects(self, frame: str, ground_truth: LabelMap, predicted: set[int]) -> list[int]:
        return [1]

    def known_ids(self) -> set[int]:
        return {1}

    def labels_in_order(self) -> int:
        return 255


class GenericRule(Rule):
    """vos-benchmark: ids of the scored ground truth, each from the first scored frame where either side shows it."""

    name = "generic"

    def __init__(self, frames: Sequence[str], sequence: str, skip_first_and_last: bool = True) -> None:
        scored = between_first_and_last(frames, sequence) if skip_first_and_last else list(frames)
        super().__init__(scored, scored)
        self._in_truth: set[int] = set()
        self._met: set[int] = set()
        self._now: tuple[set[int], set[int]] = (set(), set())

    def objects(self, frame: str, ground_truth: LabelMap, predicted: set[int]) -> list[int]:
        present = labels_above(ground_truth, 0)
        self._now = (present, predicted)
        self._in_truth |= present
        self._met |= present | predicted
        return sorted(self._met)

    def known_ids(self) -> set[int]:
        return self._in_truth

    def plain_score(self, object_id: int) -> tuple[float, float] | None:
        """An object on neither side is right; one on a single side has no overlap and no matched boundary.

        Where a label could fill the frame, and so have no boundary at all, the masks themselves must be looked at.
        """
        sides = [present for present in self._now if object_id in present]
        if not sides:
            return 1.0, 1.0
        return (0.0, 0.0) if len(sides) == 1 and len(sides[0]) > 1 else None

    def kept(self, tracks: dict[int, Track]) -> dict[int, Track]:
        """Labels that only predictions have were followed in case they entered, and are dropped."""
        return {object_id: tracks[object_id] for object_id in sorted(tracks) if object_id in self._in_truth}
