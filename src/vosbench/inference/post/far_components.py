"""Rule 1: parts of an object that lie too far from where it was last are removed (paper, section 2.4; specification 8.3)."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

KEEP = ("all_near", "nearest")


@dataclass(frozen=True)
class FarComponents:
    """How far an object may move. Decision: all numbers; the paper gives the principle alone.

    Lengths are shares of the frame's diagonal, which an object covers in a frame: the gate opens with every frame in which the
    object is not seen, so that it can appear again. They are meant for the 6 frames a second of YouTube-VOS.
    """

    gate: float  # one frame after the object was last seen
    growth: float  # more with every further frame
    limit: float  # never more than this
    keep: str  # all_near: every component within the gate, for occluders split objects; nearest: the nearest of them alone
    min_area: int  # pixels; smaller components are removed wherever they lie; 0: none is

    def __post_init__(self) -> None:
        if self.keep not in KEEP:
            raise ValueError(f"post.components.keep must be one of {', '.join(KEEP)}, got {self.keep!r}")
        for name in ("gate", "growth", "limit", "min_area"):
            if getattr(self, name) < 0:
                raise ValueError(f"post.components.{name} must be at least 0, got {getattr(self, name)}")

    def reach(self, frames_ago: int) -> float:
        """The gate for an object last seen that many frames ago, at least 1."""
        return min(self.limit, self.gate + self.growth * (frames_ago - 1))

    def dropped(
        self, mask: Bool[np.ndarray, "H W"], last: Bool[np.ndarray, "H W"], frames_ago: int, diagonal: float
    ) -> Bool[np.ndarray, "H W"]:
        """Pixels of `mask` to remove, given the object's last mask that was not empty. `diagonal` in pixels."""
        count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
        distance = _distances(parts, count, mask, last)
        area = stats[:, cv2.CC_STAT_AREA]
        kept = (distance <= self.reach(frames_ago) * diagonal) & (area >= self.min_area)
        kept[0] = False  # what is no component
        if self.keep == "nearest" and kept.any():
            candidates = np.flatnonzero(kept)
            best = min(candidates, key=lambda part: (distance[part], -area[part]))  # the larger of two that overlap it
            kept &= np.arange(count) == best
        return mask & ~kept[parts]


def distance_to(mask: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """Euclidean distance of every pixel to the mask, in pixels; 0 inside."""
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _distances(
    parts: np.ndarray, count: int, mask: Bool[np.ndarray, "H W"], last: Bool[np.ndarray, "H W"]
) -> Float[np.ndarray, " parts"]:
    """Smallest distance of each component's pixels to the last mask; that of number 0, the rest of the frame, is 0."""
    overlaps = np.bincount(parts[last], minlength=count) > 0
    distance = np.zeros(count, np.float32)
    if not overlaps[1:].all():  # the distance transform is the costly part, and most frames do without
        distance[1:] = np.inf
        np.minimum.at(distance, parts[mask], distance_to(last)[mask])
    return distance
