"""The nouns of a video on disk: its frames, its objects and what is prompted where. Nothing here knows a network."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, UInt8

from vosbench.video.prompt import Box, mask_to_box


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
    boxes: Mapping[int, Mapping[int, Box]] | None = None  # frame index -> object id -> the box that a person drew there

    def prompts(self, frame_index: int) -> dict[int, Bool[np.ndarray, "H W"] | Box]:
        """The prompts of the objects that are given in this frame, by object id: masks, and boxes of those that have none there.

        This is all that inference may see of the label maps; the rest belongs to the scorer.
        """
        entering = [item.object_id for item in self.objects if item.first_frame == frame_index]
        if not entering:
            return {}
        drawn = self.drawn(frame_index)
        if frame_index not in self.label_maps:
            return {object_id: drawn[object_id] for object_id in entering}
        label_map = self.label_maps[frame_index]
        masks = {object_id: label_map == object_id for object_id in entering}
        return {key: drawn[key] if key in drawn and not mask.any() else mask for key, mask in masks.items()}

    def box_prompts(self, frame_index: int) -> dict[int, Box]:
        """The same as boxes, for methods that take no masks: drawn ones, and the tight boxes of the masks of the others."""
        drawn = self.drawn(frame_index)
        entering = [item.object_id for item in self.objects if item.first_frame == frame_index]
        if all(object_id in drawn for object_id in entering):  # the masks stay closed
            return {object_id: drawn[object_id] for object_id in entering}
        found = {}
        for object_id, prompt in self.prompts(frame_index).items():
            box = drawn.get(object_id) or (mask_to_box(prompt) if isinstance(prompt, np.ndarray) else prompt)
            if box is not None:
                found[object_id] = box
        return found

    def drawn(self, frame_index: int) -> Mapping[int, Box]:
        """Boxes that a person drew in this frame, by object id."""
        return (self.boxes or {}).get(frame_index, {})
