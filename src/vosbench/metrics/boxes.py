"""How well predicted boxes agree with annotated masks, beside J and F and never mixed with them (QMRA's specification, 9)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vosbench.metrics.jf import score_label_maps
from vosbench.metrics.statistics import mean
from vosbench.video.boxes import box_iou
from vosbench.video.prompt import Box, mask_to_box

LabelMap = npt.NDArray[np.uint8]
BESIDE = ("box_iou", "J_exemplar", "F_exemplar")


class BoxScorer:
    """Of one sequence: the overlap of every object's box with the tight box of its annotation, over the frames in which its mask is
    scored, and J and F of the frame in which it was prompted, where a method that is given boxes predicts its mask.

    `binary`: every label above 0 is the one object.
    """

    def __init__(self, binary: bool) -> None:
        self.binary = binary
        self._iou: dict[str, dict[int, float]] = {}  # frame name -> object id
        self._exemplars: dict[int, tuple[float, float]] = {}

    def add(
        self,
        frame_name: str,
        ground_truth: LabelMap,
        prediction: LabelMap,
        boxes: Mapping[int, Box | None],
        entering: list[int],
    ) -> None:
        """Take an annotated frame. `entering` are the objects that are prompted in it; objects without an entry in `boxes` have
        the tight boxes of their masks."""
        if self.binary:
            ground_truth, prediction = (ground_truth > 0).astype(np.uint8), (prediction > 0).astype(np.uint8)
        shown = {int(object_id) for object_id in np.unique(ground_truth)} | boxes.keys() | set(entering)
        self._iou[frame_name] = {}
        for object_id in shown - {0}:
            found = boxes[object_id] if object_id in boxes else mask_to_box(prediction == object_id)
            self._iou[frame_name][object_id] = box_iou(found, mask_to_box(ground_truth == object_id))
        if entering:
            j, f = score_label_maps(ground_truth, prediction, entering)
            self._exemplars |= {object_id: (j[place], f[place]) for place, object_id in enumerate(entering)}

    def onto(self, result: dict[str, Any]) -> dict[str, Any]:
        """The result of the sequence's `SequenceScorer` with `box_iou` for every object, and J and F of its prompted frame where
        that has an annotation."""
        objects = {}
        for object_id, item in result["objects"].items():
            number = int(object_id)
            # An object without an entry is absent on both sides.
            overlaps = [self._iou[name].get(number, 1.0) for name in item.get("frames", result["frames"])]
            j, f = self._exemplars.get(number, (None, None))
            objects[object_id] = item | {"box_iou": mean(overlaps), "J_exemplar": j, "F_exemplar": f}
        return result | {"objects": objects}


def overall_boxes(scores: Mapping[str, Any]) -> dict[str, float | None]:
    """Means over all objects, from the content of a scores.json; a number that no object has is None."""
    objects = [item for sequence in scores["sequences"].values() for item in sequence["objects"].values()]
    known = {name: [item[name] for item in objects if item.get(name) is not None] for name in BESIDE}
    return {name: mean(values) if values else None for name, values in known.items()}
