"""The nouns of a video on disk: its frames, its objects and what is prompted where. Nothing here knows a network."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8


@runtime_checkable
class Frames(Protocol):
    """The images of one sequence, decoded when asked for."""

    names: list[str]  # file stems, in time order: "00005"

    def __len__(self) -> int: ...

    def __getitem__(self, frame_index: int) -> UInt8[np.ndarray, "H W 3"]: ...  # RGB


@dataclass(frozen=True)
class SequenceObject:
    """One object of a sequence: its id in the label maps and the frame where its mask is given."""

    object_id: int  # 1..255
    first_frame: int  # index of the frame that carries its prompt
    category: str | None = None
    attributes: frozenset[str] = frozenset()  # e.g. {"small", "look-alike"}, for break-downs


@dataclass(frozen=True)
class Sequence:
    """One video: lazily decoded frames, label maps for some frames, and its objects."""

    name: str
    frames: Frames
    label_maps: Mapping[int, UInt8[np.ndarray, "H W"]]  # frame index -> label map, decoded when asked for
    objects: tuple[SequenceObject, ...] = ()
    size: tuple[int, int] = field(default=(0, 0))  # (H, W) of the frames

    def prompts(self, frame_index: int) -> dict[int, np.ndarray]:
        """Masks (bool, H x W) of the objects whose prompt lies in this frame, by object id.

        This is all that inference may see of the label maps; the rest belongs to the scorer.
        """
        entering = [item.object_id for item in self.objects if item.first_frame == frame_index]
        if not entering:
            return {}
        label_map = self.label_maps[frame_index]
        return {object_id: label_map == object_id for object_id in entering}
