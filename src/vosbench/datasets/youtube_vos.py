"""YouTube-VOS 2018 and 2019: Xu et al., ECCV 2018. Every fifth frame is annotated, objects enter at different frames."""

import logging
from functools import cached_property, partial
from pathlib import Path

from vosbench.datasets.disk_sequence import DiskSequence, first_with_label
from vosbench.datasets.label_folder import LabelFolder
from vosbench.datasets.selection import chosen, existing_folder, name_of, read_split, read_video_list, require_folders
from vosbench.errors import DatasetError
from vosbench.video.frames import FolderFrames
from vosbench.video.sequence import SequenceObject

log = logging.getLogger(__name__)

# Listed in the training meta, but the object is not there yet. Source: visionml/pytracking's loader of this set.
BAD_FIRST_FRAMES: dict[tuple[str, int], frozenset[str]] = {
    ("0e27472bea", 2): frozenset({"00055", "00060"}),
    ("5937b08d69", 4): frozenset({"00000"}),
    ("5e1ce354fd", 5): frozenset({"00010", "00015"}),
    ("7053e4f41e", 2): frozenset({"00000", "00005", "00010", "00015"}),
    ("720e3fa04c", 2): frozenset({"00050"}),
    ("c73c8e747f", 2): frozenset({"00035"}),
}


class YouTubeVOS:
    """A split: ``<split>/JPEGImages/<video>``, ``<split>/Annotations/<video>`` and ``<split>/meta.json``.

    `all_frames` takes the images of ``<split>_all_frames`` (or ``all_frames/<split>_all_frames``) in place of every
    fifth; inference on them is worth several points. `subset` is a file of video names, one per line (XMem trains on
    3464 of the 3471 videos). `sequences` replaces the list of videos, `exclude` leaves some out.
    """

    protocol = "ytvos"
    annotation_step = 5

    def __init__(
        self,
        root: str | Path,
        *,
        split: str,
        all_frames: bool = False,
        subset: str | Path | None = None,
        sequences: list[str] | None = None,
        exclude: list[str] | None = None,
    ) -> None:
        self.root = existing_folder(Path(root), "the YouTube-VOS folder (with train and valid)", "data.root")
        self.split, self.name = split, f"youtube_vos/{split}"
        folder = existing_folder(self.root / split, f"the folder of split '{split}'", "data.root or the split")
        self.images = _images_of(self.root, split, all_frames)
        self.masks = existing_folder(folder / "Annotations", "the folder of masks", "data.root")
        self.videos = read_video_list(folder / "meta.json")
        names = list(self.videos)
        if subset is not None:
            names = chosen(names, read_split(Path(subset)), None, str(subset))
        self.sequences = chosen(names, sequences, exclude, self.name)
        self.name = name_of(self.name, sequences, exclude)
        require_folders(self.sequences, self.name, self.images, self.masks)
        log.info("%s: %d videos, images from %s", self.name, len(self.sequences), self.images)

    @cached_property
    def categories_seen(self) -> frozenset[str]:
        """The categories of the training set (65), out of ``train/meta.json``."""
        videos = self.videos if self.split == "train" else read_video_list(self.root / "train" / "meta.json")
        found = {item.get("category") for video in videos.values() for item in video["objects"].values()}
        return frozenset(category for category in found if category is not None)

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index: int) -> DiskSequence:
        name = self.sequences[index]
        frames = FolderFrames(self.images / name, name)
        find_objects = partial(_listed_objects, listed=self.videos[name]["objects"])
        return DiskSequence(frames, LabelFolder(self.masks / name, frames), find_objects)


def _images_of(root: Path, split: str, all_frames: bool) -> Path:
    if not all_frames:
        return existing_folder(root / split / "JPEGImages", "the folder of images", "data.root")
    name = f"{split}_all_frames"
    below = root / "all_frames" / name / "JPEGImages"
    return below if below.is_dir() else existing_folder(root / name / "JPEGImages", "the folder of all frames", "data.root")


def _listed_objects(label_maps: LabelFolder, listed: dict[str, dict]) -> tuple[SequenceObject, ...]:
    """Objects of the meta file; each is given in the first of its frames where its label really occurs."""
    frames = label_maps.frames
    index = {name: frame_index for frame_index, name in enumerate(frames.names)}
    objects = []
    for key, item in sorted(listed.items(), key=lambda pair: int(pair[0])):
        bad = BAD_FIRST_FRAMES.get((frames.sequence, int(key)), frozenset())
        names = [name for name in item.get("frames", []) if name not in bad]
        if names and index.get(names[0]) not in label_maps:
            raise DatasetError(
                f"{label_maps.folder / names[0]}.png: the mask of sequence '{frames.sequence}', frame '{names[0]}', where "
                f"meta.json lets object {key} enter, is missing; copy the masks again."
            )
        masked = [index[name] for name in names if index.get(name) in label_maps]
        first = first_with_label(label_maps, int(key), masked)
        if first is None:
            log.warning("%s: object %s of meta.json is in none of its masks; it is left out.", label_maps.folder, key)
            continue
        objects.append(SequenceObject(int(key), first, item.get("category")))
    return tuple(objects)
