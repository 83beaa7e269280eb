"""Boxes found in maps, and how well two of them agree. Coordinates as in `video.prompt`: pixel edges, half open."""

import cv2
import numpy as np
from jaxtyping import Bool, Float

from vosbench.video.prompt import Box, mask_to_box


def box_of_map(prob: Float[np.ndarray, "H W"], threshold: float, *, component: str = "largest") -> Box | None:
    """Extents of what reaches `threshold`; None where nothing does.

    `component` "largest": of the 8-connected component with the most pixels (of equals the one with the larger sum of `prob`,
    then the first in reading order), because a box is one solid rectangle and a stray blob would stretch it. "all": of all.
    """
    inside = prob >= threshold
    return mask_to_box(largest_component(inside, prob) if component == "largest" else inside)


def largest_component(inside: Bool[np.ndarray, "H W"], prob: Float[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The 8-connected component with the most pixels; ties as `box_of_map` says. Empty stays empty."""
    count, number, stats, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8), connectivity=8)
    if count <= 2:  # the background and at most one component
        return inside
    area = stats[1:, cv2.CC_STAT_AREA]
    tied = np.flatnonzero(area == area.max()) + 1
    if len(tied) > 1:
        weight = np.bincount(number.ravel(), weights=prob.ravel(), minlength=count)[tied]
        tied = tied[weight == weight.max()]
    first = np.flatnonzero(np.isin(number, tied))[0]
    return number == number.ravel()[first]


def box_iou(one: Box | None, other: Box | None) -> float:
    """Intersection over union; two absent boxes agree, an absent and a present one do not."""
    if one is None or other is None:
        return float(one is None and other is None)
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (area - shared)
