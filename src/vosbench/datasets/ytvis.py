"""Video instances as VOS data: OVIS (Qi et al., IJCV 2022), UVO (Wang et al., ICCV 2021), YouTube-VIS (Yang et al., ICCV 2019)."""

import logging
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from vosbench.datasets.coco import MOST_OBJECTS, decoded_mask, read_instances
from vosbench.datasets.selection import chosen, existing_folder, name_of
from vosbench.errors import DatasetError
from vosbench.video.frames import FolderFrames
from vosbench.video.label_map import ids_present
from vosbench.video.sequence import Sequence, SequenceObject

log = logging.getLogger(__name__)


class YouTubeVIS:
    """Videos of one annotation file: `videos` (id, `file_names`), `annotations` (video_id, `segmentations`: polygons or run
    lengths, null where the object is not seen), `categories`. The listed frames lie below the folder `images`.

    A video is called by the folder of its frames. Its objects are numbered 1..n in the order of the file, and where two
    overlap the later one is seen; every listed frame has a label map, empty or not. Videos in which no object is there in
    two frames teach nothing and are left out, and so are crowds (Decision: as for COCO).

    UVO is distributed without frames: they have to be cut out of the videos first.
    """

    protocol = "generic"  # these sets have no VOS protocol of their own
    annotation_step = 1

    def __init__(
        self,
        root: str | Path,
        *,
        annotations: str,
        images: str,
        name: str,
        sequences: list[str] | None = None,
        exclude: list[str] | None = None,
    ) -> None:
        top = existing_folder(Path(root), f"the folder of {name}", "the set's root")
        self.images = existing_folder(top / images, "the folder of frames", "the set's root and images")
        self.file = top / annotations
        content = read_instances(self.file, "videos")
        self.categories = {item["id"]: item["name"] for item in content.get("categories", [])}
        self.videos, left_out = _by_name(content, self.file)
        self.sequences = chosen(list(self.videos), sequences, exclude, name)
        self.name = name_of(name, sequences, exclude)
        for video in self.sequences:
            first = self.images / self.videos[video]["file_names"][0]
            existing_folder(
                first.parent, f"the folder with the frames of sequence '{video}' of {name}", "the set's root and images"
            )
        log.info("%s: %d videos, from %s; left out %d without an object to follow", name, len(self.sequences), top, left_out)

    @cached_property
    def categories_seen(self) -> frozenset[str]:
        """The categories of the annotation file; UVO's one is "object"."""
        return frozenset(self.categories.values())

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index: int) -> "InstanceSequence":
        name = self.sequences[index]
        video = self.videos[name]
        frames = ListedFrames([self.images / file for file in video["file_names"]], name)
        label_maps = InstanceMaps(frames, [item["segmentations"] for item in video["objects"]], self.file)
        return InstanceSequence(frames, label_maps, [self.categories.get(item["category_id"]) for item in video["objects"]])


class ListedFrames(FolderFrames):
    """The frames that a file names, in its order, whatever else lies in their folder."""

    def __init__(self, paths: list[Path], sequence: str) -> None:
        self.sequence, self.paths = sequence, paths
        self.names = [path.stem for path in paths]


class InstanceMaps(Mapping[int, UInt8[np.ndarray, "H W"]]):
    """One label map for every frame, painted when asked for: object k's masks are `segmentations[k - 1]`, by frame."""

    def __init__(self, frames: FolderFrames, segmentations: list[list[Any]], file: Path) -> None:
        self.frames, self.segmentations, self.file = frames, segmentations, file

    def __getitem__(self, frame_index: int) -> UInt8[np.ndarray, "H W"]:
        if frame_index not in range(len(self)):
            raise KeyError(frame_index)
        height, width = self.frames.size
        place = f"{self.file}, sequence '{self.frames.sequence}', frame '{self.frames.names[frame_index]}'"
        label_map = np.zeros((height, width), np.uint8)
        for object_id, masks in enumerate(self.segmentations, start=1):
            if masks[frame_index] is not None:
                label_map[decoded_mask(masks[frame_index], height, width, place)] = object_id
        return label_map

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))

    def __len__(self) -> int:
        return len(self.frames)

    def __contains__(self, frame_index: object) -> bool:
        return frame_index in range(len(self))  # Mapping's own would paint the map


class InstanceSequence(Sequence):
    """`Sequence` with lazy `objects` and `size`: training lists thousands of videos and never asks, inference asks once."""

    label_maps: InstanceMaps

    def __init__(self, frames: FolderFrames, label_maps: InstanceMaps, categories: list[str | None]) -> None:
        # Through __dict__, because the dataclass is frozen: attributes cannot be assigned.
        self.__dict__.update(name=frames.sequence, frames=frames, label_maps=label_maps, categories=categories)

    @cached_property
    def size(self) -> tuple[int, int]:  # type: ignore[override]
        """(H, W) of the frames; the first image's header is read."""
        return self.label_maps.frames.size

    @cached_property
    def objects(self) -> tuple[SequenceObject, ...]:  # type: ignore[override]
        """Every object at the first frame that shows it; in its first mask it may be hidden by later ones."""
        found = []
        shown: dict[int, set[int]] = {}
        for place, category in enumerate(self.__dict__["categories"]):
            for frame_index, mask in enumerate(self.label_maps.segmentations[place]):
                if mask is None:
                    continue
                if frame_index not in shown:
                    shown[frame_index] = set(ids_present(self.label_maps[frame_index]))
                if place + 1 in shown[frame_index]:
                    found.append(SequenceObject(place + 1, frame_index, category))
                    break
        return tuple(found)


def _by_name(content: dict[str, Any], file: Path) -> tuple[dict[str, dict[str, Any]], int]:
    """Videos with their objects by the folder of their frames, and how many had nothing to follow."""
    objects: dict[Any, list[dict[str, Any]]] = {}
    for item in content["annotations"] or []:  # null where a split is published without masks
        if not item.get("iscrowd"):
            kept = {"segmentations": item["segmentations"], "category_id": item.get("category_id")}  # not its boxes and areas
            objects.setdefault(item["video_id"], []).append(kept)
    videos: dict[str, dict[str, Any]] = {}
    for video in content["videos"]:
        here = objects.get(video["id"], [])
        name = Path(video["file_names"][0]).parent.name or str(video["id"])
        _check(name, len(video["file_names"]), here, file)
        if not any(sum(mask is not None for mask in item["segmentations"]) > 1 for item in here):
            continue
        if name in videos:
            raise DatasetError(
                f"{file}: two videos have their frames in a folder '{name}', which is their name; rename one of them."
            )
        videos[name] = {"file_names": video["file_names"], "objects": here}
    if not videos:
        raise DatasetError(
            f"{file}: none of its {len(content['videos'])} videos has an object with masks in two frames; only the training "
            "splits of these sets are published with masks: check which file that is."
        )
    return videos, len(content["videos"]) - len(videos)


def _check(name: str, length: int, objects: list[dict[str, Any]], file: Path) -> None:
    if len(objects) > MOST_OBJECTS:
        raise DatasetError(
            f"{file}: sequence '{name}' has {len(objects)} objects, but a label map holds {MOST_OBJECTS} (255 marks ignored "
            "pixels); leave some out of the file."
        )
    for item in objects:
        if len(item["segmentations"]) != length:
            raise DatasetError(
                f"{file}: an object of sequence '{name}' has {len(item['segmentations'])} masks (or nulls) for {length} frames; "
                "copy the annotation file again."
            )
