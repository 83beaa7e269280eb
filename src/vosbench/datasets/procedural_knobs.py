"""The knobs of the procedural set: what its scenes hold."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vosbench.errors import ConfigError

MIN_PROMPT_AREA = 30  # visible pixels of an object in the frame of its prompt, at least
SHORTEST_STORY = 12  # frames that a late entry, or a way out and back, needs


@dataclass(frozen=True)
class Knobs:
    """What the scenes of a set hold. Lengths are shares of the frame's shorter side; chances lie in [0, 1]."""

    objects: Sequence[int] = (1, 3)  # fewest and most annotated objects
    clutter: Sequence[int] = (0, 1)  # fewest and most things that are not annotated, each with its own look
    lookalike_objects: float = 0.2  # chance that an object after the first looks as an earlier one
    lookalike_distractors: float = 0.25  # chance of a scene to hold an unannotated look-alike of one of its objects
    occluders: float = 0.2  # chance of each object that something larger passes before it, now and again
    excursions: float = 0.12  # chance of each object to leave the frame and to come back
    late: float = 0.25  # chance of each object but the first to enter after frame 0
    size: Sequence[float] = (0.15, 0.45)  # smallest and largest diameter (of the disc of equal area)
    speed: Sequence[float] = (0.004, 0.024)  # slowest and fastest, per frame
    deformation: float = 0.14  # largest relative bulge of a contour; also bounds the change of size
    spin: float = 4.0  # fastest turn, degrees per frame
    camera: float = 1.0  # strength of hand shake, roll, zoom and of the background's slide; 0.0 is a tripod
    shared_palette: float = 0.5  # chance of each thing to be dyed in the background's colours
    background_contrast: float = 0.6  # of the background's palette; objects that share it have it at full contrast
    light: float = 0.5  # strength of slow changes of brightness and colour cast, in stops to either side; 0.0 keeps them
    grain: float = 5.0  # largest sensor noise, grey levels

    def checked(self, size: tuple[int, int], length: int) -> "Knobs":
        """These knobs, or `ConfigError` where they ask for what cannot be."""
        for name in (
            "lookalike_objects",
            "lookalike_distractors",
            "occluders",
            "excursions",
            "late",
            "shared_palette",
            "background_contrast",
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}={getattr(self, name)} of the procedural set is out of range; give a number in [0, 1].")
        for name in ("deformation", "spin", "camera", "light", "grain"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}={getattr(self, name)} of the procedural set is negative; 0.0 switches it off.")
        for name in ("objects", "clutter", "size", "speed"):
            pair = list(getattr(self, name))
            if len(pair) != 2 or not 0 <= pair[0] <= pair[1]:
                raise ConfigError(f"{name}={pair} of the procedural set is not a range; give [smallest, largest], both >= 0.")
        if not 1 <= self.objects[0] <= self.objects[1] <= 255:
            raise ConfigError(
                f"objects={list(self.objects)} of the procedural set: a label map holds 1 to 255 objects; stay inside."
            )
        if self.deformation > 0.3:
            raise ConfigError(f"deformation={self.deformation} of the procedural set folds contours over; give at most 0.3.")
        smallest = np.pi / 4 * (self.size[0] * min(size)) ** 2
        if smallest < 2 * MIN_PROMPT_AREA:
            raise ConfigError(
                f"size={list(self.size)} of the procedural set makes objects of {smallest:.0f} pixels in frames of "
                f"{size[0]}x{size[1]}, but a prompt needs {2 * MIN_PROMPT_AREA}; raise the smallest size or enlarge the frames."
            )
        if length < SHORTEST_STORY and (self.late > 0 or self.excursions > 0):
            raise ConfigError(
                f"length={length} of the procedural set is too short for late={self.late} and excursions={self.excursions}; "
                f"give at least {SHORTEST_STORY} frames or set both to 0.0."
            )
        return self
