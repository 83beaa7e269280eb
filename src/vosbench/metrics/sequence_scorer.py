"""`SequenceScorer`: is shown ground truth and prediction frame by frame and knows the sequence's scores at the end."""

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from vosbench.errors import DatasetError
from vosbench.metrics import statistics
from vosbench.metrics.jf import BOUND_TH, boundary_f, region, tolerance_radius
from vosbench.metrics.labels import labels_above
from vosbench.metrics.packed import PairPacker, count_pair
from vosbench.metrics.rules import Rule, Track

LabelMap = npt.NDArray[np.uint8]
STATISTICS = ("J_mean", "J_recall", "J_decay", "F_mean", "F_recall", "F_decay")


class SequenceScorer:
    """Scores of one sequence, during inference or from files: the numbers are the same.

    Frames come in time order, once each; only two numbers per object and frame are kept. `strict_labels` makes a predicted
    label that the ground truth does not have an error instead of a count.
    """

    def __init__(
        self, rule: Rule, frame_names: Sequence[str], sequence: str, strict_labels: bool = False, bound_th: float | int = BOUND_TH
    ) -> None:
        self.sequence, self._rule, self._bound_th, self._strict_labels = sequence, rule, bound_th, strict_labels
        self._place = {name: index for index, name in enumerate(frame_names)}
        self._looked_at, self._scored = frozenset(rule.frames), frozenset(rule.scored)
        self._shown: list[str] = []
        self._tracks: dict[int, Track] = {}
        self._predicted: set[int] = set()
        self._packer: PairPacker | None = None
        self._radius = 0

    @property
    def frames(self) -> list[str]:
        """Names of the frames that have to be added, in time order; any other may be and is passed over."""
        return self._rule.frames

    def needs_ground_truth(self, frame_name: str) -> bool:
        """Whether `add` looks at this frame at all."""
        return frame_name in self._looked_at

    def needs_prediction(self, frame_name: str) -> bool:
        """Whether `add` looks at this frame's prediction."""
        return frame_name in self._scored

    def add(self, frame_name: str, ground_truth: LabelMap | None, prediction: LabelMap | None = None) -> None:
        """Take the next frame. A side that the protocol does not look at in this frame may be None."""
        if not self._is_next(frame_name):
            return
        self._shown.append(frame_name)
        truth = self._checked(ground_truth, frame_name, "ground truth")
        if frame_name not in self._scored:
            self._rule.objects(frame_name, truth, set())
            return
        predicted = self._checked(prediction, frame_name, "prediction")
        if predicted.shape != truth.shape:
            raise DatasetError(
                f"Sequence '{self.sequence}', frame '{frame_name}': the prediction is {_size(predicted)} but the ground truth is "
                f"{_size(truth)}; predictions are never resized, write them at the original size."
            )
        labels = labels_above(predicted, self._rule.labels_in_order())
        objects = self._rule.objects(frame_name, truth, labels)
        self._note_labels(labels, frame_name)
        self._score(frame_name, truth, predicted, objects)

    def result(self) -> dict[str, Any]:
        """The sequence's part of scores.json: scored frames, every object's statistics and values, their means, stray labels."""
        if len(self._shown) < len(self._rule.frames):
            missing = [name for name in self._rule.frames if name not in self._shown]
            raise ValueError(
                f"sequence '{self.sequence}' is not finished: {len(missing)} frame(s) were not added, first '{missing[0]}'"
            )
        tracks = self._rule.kept(self._tracks)
        objects = {str(object_id): self._object(track) for object_id, track in tracks.items() if track.j}
        return {
            "frames": self._rule.scored,
            "objects": objects,
            "mean": mean_of_objects(list(objects.values())),
            "stray_labels": sorted(self._predicted - self._rule.known_ids()),
        }

    def _is_next(self, frame_name: str) -> bool:
        place = self._place.get(frame_name)
        if place is None:
            raise ValueError(f"sequence '{self.sequence}' has no frame '{frame_name}'; its frames are those of the ground truth")
        if self._shown and place <= self._place[self._shown[-1]]:
            raise ValueError(
                f"sequence '{self.sequence}': frame '{frame_name}' came after '{self._shown[-1]}'; add frames in time order"
            )
        return frame_name in self._looked_at

    def _checked(self, label_map: LabelMap | None, frame_name: str, side: str) -> LabelMap:
        if label_map is None or label_map.ndim != 2 or label_map.dtype != np.uint8:
            found = "nothing" if label_map is None else f"{label_map.dtype} of shape {label_map.shape}"
            raise ValueError(
                f"sequence '{self.sequence}', frame '{frame_name}': the {side} must be a uint8 label map (H, W), got {found}"
            )
        return label_map

    def _note_labels(self, labels: set[int], frame_name: str) -> None:
        self._predicted |= labels
        stray = sorted(labels - self._rule.known_ids()) if self._strict_labels else []
        if stray:
            raise DatasetError(
                f"Sequence '{self.sequence}', frame '{frame_name}': the prediction holds label(s) {stray} that the ground truth "
                "does not have; write the ids that were prompted, or set strict_labels=false to only count such labels."
            )

    def _score(self, frame_name: str, truth: LabelMap, predicted: LabelMap, objects: list[int]) -> None:
        packer, loaded = self._packer_for(truth), False
        for object_id in objects:
            scores = self._rule.plain_score(object_id)
            if scores is None:
                if not loaded:
                    (packer.load_binary if self._rule.binary else packer.load)(truth, predicted)
                    loaded = True
                counts = count_pair(packer.pack(object_id), packer.width, self._radius)
                scores = region(counts), boundary_f(counts)
            track = self._tracks.setdefault(object_id, Track())
            track.frames.append(frame_name)
            track.j.append(scores[0])
            track.f.append(scores[1])

    def _packer_for(self, label_map: LabelMap) -> PairPacker:
        height, width = label_map.shape
        if self._packer is None or (self._packer.height, self._packer.width) != (height, width):
            self._packer, self._radius = PairPacker(height, width), tolerance_radius(height, width, self._bound_th)
        return self._packer

    def _object(self, track: Track) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for letter, values in (("J", track.j), ("F", track.f)):
            found[f"{letter}_mean"] = statistics.mean(values)
            found[f"{letter}_recall"] = statistics.recall(values)
            found[f"{letter}_decay"] = statistics.decay(values) if self._rule.has_decay else None
        if self._rule.name == "lvos":
            found["V"] = stability(track.j, track.f)
        if track.frames != self._rule.scored:  # an object of its own beginning or end
            found["frames"] = track.frames
        return found | {"J": track.j, "F": track.f}


def stability(j: Sequence[float], f: Sequence[float]) -> float:
    """V of LVOS, lower is better: spread of the per-frame J&F; the variance is rounded to four decimals before the root."""
    both = [(first + second) / 2 for first, second in zip(j, f, strict=True)]
    return sqrt(round(statistics.variance(both), 4))


def mean_of_objects(objects: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Plain mean over objects of each statistic, and J&F; None without objects, a statistic that objects lack is None."""
    if not objects:
        return None
    names = [*STATISTICS, "V"] if "V" in objects[0] else list(STATISTICS)
    found: dict[str, Any] = {}
    for name in names:
        values = [item[name] for item in objects]
        found[name] = None if None in values else statistics.mean(values)
    found["J&F"] = (found["J_mean"] + found["F_mean"]) / 2
    return found


def _size(label_map: LabelMap) -> str:
    return f"{label_map.shape[0]}x{label_map.shape[1]}"
