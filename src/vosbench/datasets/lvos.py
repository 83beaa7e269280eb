"""LVOS v1 and v2, long videos: Hong et al., ICCV 2023. Frame names count the source video, in steps of five."""

import logging
from functools import partial
from pathlib import Path

from vosbench.datasets.disk_sequence import DiskSequence, first_with_label
from vosbench.datasets.label_folder import LabelFolder
from vosbench.datasets.selection import chosen, existing_folder, name_of, read_split, read_video_list, require_folders
from vosbench.errors import DatasetError
from vosbench.video.frames import FolderFrames
from vosbench.video.sequence import SequenceObject

log = logging.getLogger(__name__)

ALSO_CALLED = {"val": "valid", "valid": "val"}


class LVOS:
    """A split: ``<split>/JPEGImages/<video>/00000001.jpg``, ``<split>/Annotations/...``, ``<split>_meta.json``.

    Seen and unseen count per video: with `unseen`, the benchmark's file of names (``unseen_videos.txt``), every object
    has the category "seen" or "unseen", of which training may have met "seen".
    """

    protocol = "lvos"
    annotation_step = 1  # between two frames on disk; of the source video every fifth is there
    categories_seen = frozenset({"seen"})

    def __init__(
        self,
        root: str | Path,
        *,
        split: str,
        unseen: str | Path | None = None,
        sequences: list[str] | None = None,
        exclude: list[str] | None = None,
    ) -> None:
        top = existing_folder(Path(root), "the LVOS folder (with train, val, test)", "data.root")
        other = ALSO_CALLED.get(split, split)
        folder = top / other if not (top / split).is_dir() and (top / other).is_dir() else top / split
        self.name = f"lvos/{split}"
        self.images = existing_folder(folder / "JPEGImages", "the folder of images", "data.root or the split")
        self.masks = existing_folder(folder / "Annotations", "the folder of masks", "data.root")
        self.videos = read_video_list(_meta_file(top, folder, split, other))
        self.unseen = None if unseen is None else frozenset(read_split(Path(unseen)))
        self.sequences = chosen(list(self.videos), sequences, exclude, self.name)
        self.name = name_of(self.name, sequences, exclude)
        require_folders(self.sequences, self.name, self.images, self.masks)
        log.info("%s: %d videos, from %s", self.name, len(self.sequences), folder)

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index: int) -> DiskSequence:
        name = self.sequences[index]
        frames = FolderFrames(self.images / name, name)
        category = None if self.unseen is None else "unseen" if name in self.unseen else "seen"
        find_objects = partial(_listed_objects, listed=self.videos[name]["objects"], category=category)
        return DiskSequence(frames, LabelFolder(self.masks / name, frames), find_objects)


def _meta_file(top: Path, folder: Path, split: str, other: str) -> Path:
    """`<split>_meta.json` beside the split's folder or in it, under either name of the validation split."""
    names = [f"{split}_meta.json", f"{other}_meta.json"]
    files = [place / name for place in (top, folder) for name in names]
    return next((file for file in files if file.is_file()), files[0])


def _listed_objects(label_maps: LabelFolder, listed: dict[str, dict], category: str | None) -> tuple[SequenceObject, ...]:
    """Objects of the meta file, each at its first appearance from `frame_range.start` on."""
    objects = []
    for key, item in sorted(listed.items(), key=lambda pair: int(pair[0])):
        start = int(item["frame_range"]["start"])
        candidates = (frame_index for frame_index in label_maps if int(label_maps.frames.names[frame_index]) >= start)
        first = first_with_label(label_maps, int(key), candidates)
        if first is None:
            raise DatasetError(
                f"{label_maps.folder}: object {key} of sequence '{label_maps.frames.sequence}', which the meta file lets enter "
                f"at frame {start}, is in none of the masks from there on; check that meta file and masks are of one release."
            )
        objects.append(SequenceObject(int(key), first, category))
    return tuple(objects)
