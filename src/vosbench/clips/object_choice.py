"""Which objects a clip keeps, and the numbers they get there."""

import numpy as np
from jaxtyping import Int, UInt8

from vosbench.errors import ConfigError

IGNORED = 255  # pixels of a label map that no loss and no score looks at


class ObjectChoice:
    """Up to `max_objects` objects of the first frame, at random, renumbered 1..n in random order; all others become background.

    Areas are in pixels of the augmented clip. An object must have more than `min_area` of them in the first frame. With
    `small_area` set, an object that is not larger than it there must stay below `small_area_later` in the next two frames: a
    sliver of something big is no fair reference (BL30K: 100, 900, 400; STMA spec, 6.3).
    """

    def __init__(
        self, max_objects: int, *, min_area: int = 0, small_area: int | None = None, small_area_later: int | None = None
    ) -> None:
        if not 1 <= max_objects < IGNORED:
            raise ConfigError(f"max_objects is {max_objects} but a label map holds 1 to 254 objects; choose one of them.")
        if (small_area is None) != (small_area_later is None):
            raise ConfigError(
                f"small_area is {small_area} and small_area_later {small_area_later} but the rule needs both; set both or none."
            )
        self.max_objects = max_objects
        self.min_area = min_area
        self.small_area = small_area
        self.small_area_later = small_area_later

    def __call__(
        self, label_maps: UInt8[np.ndarray, "T H W"], generator: np.random.Generator
    ) -> tuple[UInt8[np.ndarray, "T H W"], int]:
        """The renumbered label maps, ignored pixels kept, and the number of objects, which may be 0."""
        kept = generator.permutation(self.eligible(label_maps))[: self.max_objects]
        number = np.zeros(256, dtype=np.uint8)
        number[kept] = np.arange(1, len(kept) + 1)
        number[IGNORED] = IGNORED
        return number[label_maps], len(kept)

    def eligible(self, label_maps: UInt8[np.ndarray, "T H W"]) -> Int[np.ndarray, " N"]:
        """Ids of the first frame's objects that obey the area rules, ascending."""
        area = np.stack([np.bincount(label_map.ravel(), minlength=256) for label_map in label_maps[:3]])  # frames x ids
        allowed = area[0] > self.min_area
        if self.small_area is not None and self.small_area_later is not None:
            allowed &= (area[0] > self.small_area) | (area[1:] < self.small_area_later).all(axis=0)
        allowed[[0, IGNORED]] = False
        return np.flatnonzero(allowed)
