"""J, region similarity, and F, boundary accuracy, of one frame (DAVIS 2016 and 2017 benchmarks).

Both are ratios of counted pixels, taken in float64; the counting is in `vosbench.metrics.packed`.
"""

from collections.abc import Sequence
from math import ceil, sqrt

import numpy as np
import numpy.typing as npt

from vosbench.metrics.packed import Counts, PairPacker, count_pair

BOUND_TH = 0.008  # tolerance of F as a share of the frame's diagonal, as the DAVIS benchmarks have it

Mask = npt.NDArray[np.generic]  # (H, W), everything but 0 is object
LabelMap = npt.NDArray[np.uint8]  # (H, W), one object id per pixel


def region_similarity(ground_truth: Mask, prediction: Mask, void: Mask | None = None) -> float:
    """J, intersection over union of two binary masks; 1 when both are empty. Pixels of `void` are left out."""
    return region(_counts(ground_truth, prediction, void, BOUND_TH))


def boundary_accuracy(ground_truth: Mask, prediction: Mask, void: Mask | None = None, bound_th: float | int = BOUND_TH) -> float:
    """F, harmonic mean of the boundaries' precision and recall, of two binary masks.

    A boundary pixel is matched if one of the other side lies within ``ceil(bound_th * diagonal)`` pixels; a `bound_th` of 1 or
    more is that radius itself. `void` is removed from both masks, so that its rim becomes boundary of both.
    """
    return boundary_f(_counts(ground_truth, prediction, void, bound_th))


def score_label_maps(
    ground_truth: LabelMap, prediction: LabelMap, object_ids: Sequence[int], bound_th: float | int = BOUND_TH
) -> tuple[list[float], list[float]]:
    """J and F of every object of two label maps, in the order of `object_ids` (1..255)."""
    if min(object_ids, default=1) < 1 or max(object_ids, default=1) > 255:
        raise ValueError(f"object ids must lie in 1..255, got {list(object_ids)}: 0 is the background of a label map")
    _check_sizes(ground_truth, prediction)
    height, width = ground_truth.shape
    packer, radius = PairPacker(height, width), tolerance_radius(height, width, bound_th)
    packer.load(ground_truth, prediction)
    counts = [count_pair(packer.pack(object_id), packer.width, radius) for object_id in object_ids]
    return [region(item) for item in counts], [boundary_f(item) for item in counts]


def tolerance_radius(height: int, width: int, bound_th: float | int = BOUND_TH) -> int:
    """How far a boundary pixel may lie from one of the other side, in pixels. From the whole map's size, never a crop's."""
    if not bound_th > 0:
        raise ValueError(f"bound_th must be > 0, got {bound_th}: below 1 a share of the diagonal, else a radius in pixels")
    if bound_th >= 1:
        if bound_th != int(bound_th):
            raise ValueError(f"bound_th from 1 on is a radius in pixels and must be whole, got {bound_th}")
        return int(bound_th)
    return ceil(bound_th * sqrt(height * height + width * width))


def region(counts: Counts) -> float:
    """J of counted pixels."""
    return counts.intersection / counts.union if counts.union else 1.0


def boundary_f(counts: Counts) -> float:
    """F of counted pixels. Emptiness is that of the boundaries: a mask that fills the frame has none."""
    (of_truth, of_prediction), (truth_matched, prediction_matched) = counts.boundary, counts.matched
    if not of_truth or not of_prediction:  # one of precision and recall is 0, unless both boundaries are empty
        return 1.0 if of_truth == of_prediction else 0.0
    precision, recall = prediction_matched / of_prediction, truth_matched / of_truth
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _counts(ground_truth: Mask, prediction: Mask, void: Mask | None, bound_th: float | int) -> Counts:
    _check_sizes(ground_truth, prediction)
    truth, predicted = ground_truth != 0, prediction != 0
    if void is not None:
        _check_sizes(ground_truth, void)
        truth, predicted = truth & (void == 0), predicted & (void == 0)
    height, width = ground_truth.shape
    packer = PairPacker(height, width)
    packer.load(truth, predicted)
    return count_pair(packer.pack(1), width, tolerance_radius(height, width, bound_th))


def _check_sizes(first: Mask, second: Mask) -> None:
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(
            f"masks must be two-dimensional and of one size, got {first.shape} and {second.shape}; never resize a prediction"
        )
