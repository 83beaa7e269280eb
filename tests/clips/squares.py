"""A data set of moving squares: every pixel's colour tells its object, so geometry can be checked by number."""

from dataclasses import dataclass, field

import numpy as np

from vosbench.clips.geometry import AreaCrop, ScaledCrop
from vosbench.clips.object_choice import ObjectChoice
from vosbench.clips.transform import VideoTransform
from vosbench.video.sequence import Sequence
from vosbench.video.still import Still

COLOURS = np.array([[20, 20, 20], [250, 60, 60], [60, 250, 60], [60, 60, 250]], dtype=np.uint8)  # by object id
WHOLE = VideoTransform(32, [AreaCrop(area=[1.0, 1.0], ratio=[1.0, 1.0])])  # the frames as they are, where they are square


def drawn(label_map: np.ndarray) -> np.ndarray:
    return COLOURS[label_map]


def squares(frame: int, size: int) -> np.ndarray:
    """Objects 1 and 2, four pixels lower with every frame, and object 3 at rest."""
    label_map = np.zeros((size, size), dtype=np.uint8)
    label_map[4 + frame : 14 + frame, 2:12] = 1
    label_map[2 + frame : 10 + frame, 16:24] = 2
    label_map[26:30, 26:30] = 3
    return label_map


@dataclass
class SquareFrames:
    names: list[str]
    size: int

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, frame_index: int) -> np.ndarray:
        return drawn(squares(frame_index, self.size))


@dataclass
class Squares:
    """One video per entry of `lengths`; every `annotated`-th frame has a label map."""

    lengths: tuple[int, ...] = (12, 12, 12)
    annotated: int = 1
    size: int = 32
    name: str = "squares"
    protocol: str = "davis"
    annotation_step: int = 1
    categories_seen: frozenset[str] = field(default_factory=frozenset)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Sequence:
        length = self.lengths[index]
        frames = SquareFrames([f"{frame:05d}" for frame in range(length)], self.size)
        label_maps = {frame: squares(frame, self.size) for frame in range(0, length, self.annotated)}
        return Sequence(f"video{index}", frames, label_maps, (), (self.size, self.size))


@dataclass
class SquareStills:
    name: str = "square-stills"

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Still:
        label_map = squares(index, 32)
        return Still(f"still{index}", drawn(label_map), label_map)


def any_object() -> ObjectChoice:
    return ObjectChoice(3)


def cropped(crop: int) -> VideoTransform:
    return VideoTransform(crop, [ScaledCrop(scale=[1.0, 2.0])])
