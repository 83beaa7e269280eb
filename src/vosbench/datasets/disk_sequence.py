"""A sequence whose objects are looked up in its masks, once, when somebody asks for them."""

from collections.abc import Callable, Iterable
from functools import cached_property

from vosbench.datasets.label_folder import LabelFolder
from vosbench.errors import DatasetError
from vosbench.video.box_file import BoxesByFrame
from vosbench.video.frames import FolderFrames
from vosbench.video.label_map import ids_present
from vosbench.video.sequence import Sequence, SequenceObject
from vosbench.video.video_file import VideoFrames

FindObjects = Callable[[LabelFolder], tuple[SequenceObject, ...]]


class DiskSequence(Sequence):
    """`Sequence` with lazy `objects` and `size`: training lists thousands of videos and never asks, inference asks once."""

    label_maps: LabelFolder

    def __init__(
        self,
        frames: FolderFrames | VideoFrames,
        label_maps: LabelFolder,
        find_objects: FindObjects,
        boxes: BoxesByFrame | None = None,
    ) -> None:
        # Through __dict__, because the dataclass is frozen: attributes cannot be assigned.
        self.__dict__.update(name=frames.sequence, frames=frames, label_maps=label_maps, find_objects=find_objects, boxes=boxes)

    @cached_property
    def size(self) -> tuple[int, int]:  # type: ignore[override]
        """(H, W) of the frames; the first image's header is read."""
        return self.frames.size  # type: ignore[attr-defined]

    @cached_property
    def objects(self) -> tuple[SequenceObject, ...]:  # type: ignore[override]
        """The objects, by rising id. One that has a box is given where its first box was drawn."""
        found = {item.object_id: item for item in self.__dict__["find_objects"](self.label_maps)}
        for frame_index, drawn in sorted((self.boxes or {}).items(), reverse=True):
            found |= {object_id: SequenceObject(object_id, frame_index) for object_id in drawn}
        return tuple(found[object_id] for object_id in sorted(found))


def objects_of_first_mask(label_maps: LabelFolder) -> tuple[SequenceObject, ...]:
    """DAVIS: every object is in the first frame's mask; one file is decoded. 255 marks void pixels there."""
    if 0 not in label_maps:
        raise DatasetError(
            f"{label_maps.folder}: the mask of the first frame '{label_maps.frames.names[0]}' of sequence "
            f"'{label_maps.frames.sequence}' is missing; the objects are given there: add it."
        )
    ids = ids_present(label_maps[0])
    if ids == [255]:
        raise DatasetError(
            f"{label_maps.name(0)}: holds only 0 and 255, as the single-object masks of DAVIS 2016 do, and 255 means ignored "
            "in DAVIS 2017; use data=davis16."
        )
    objects = tuple(SequenceObject(object_id, first_frame=0) for object_id in ids if object_id != 255)
    if not objects:
        raise DatasetError(
            f"{label_maps.name(0)}: the first mask of sequence '{label_maps.frames.sequence}' is empty, expected the objects "
            "to follow; add them or exclude the sequence."
        )
    return objects


def objects_by_appearance(label_maps: LabelFolder) -> tuple[SequenceObject, ...]:
    """Each id at the first frame whose mask holds it; all masks are decoded. For sets without a list of objects."""
    first: dict[int, int] = {}
    for frame_index in label_maps:
        for object_id in ids_present(label_maps[frame_index]):
            first.setdefault(object_id, frame_index)
    if not first:
        raise DatasetError(
            f"{label_maps.folder}: none of the {len(label_maps)} masks of sequence '{label_maps.frames.sequence}' holds an "
            "object, expected a label above 0; add a mask or remove the sequence."
        )
    return tuple(SequenceObject(object_id, frame_index) for object_id, frame_index in sorted(first.items()))


def first_with_label(label_maps: LabelFolder, object_id: int, candidates: Iterable[int]) -> int | None:
    """First of the candidate frames whose mask holds that object; None when none does."""
    for frame_index in candidates:
        if object_id in ids_present(label_maps[frame_index]):
            return frame_index
    return None
