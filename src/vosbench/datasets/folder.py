"""Own videos, and every set that is a folder of images and a folder of masks: MOSE, VOST, Long-Time Video, BL30K."""

import logging
from pathlib import Path

from vosbench.datasets.disk_sequence import DiskSequence, objects_by_appearance
from vosbench.datasets.label_folder import LabelFolder
from vosbench.datasets.selection import chosen, existing_folder, read_split, require_folders
from vosbench.errors import DatasetError, PromptError
from vosbench.video.box_file import SUFFIXES, BoxesByFrame, read_boxes
from vosbench.video.frames import image_files, natural_key
from vosbench.video.video_file import open_frames

log = logging.getLogger(__name__)

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"})
PAIRS = (("JPEGImages", "Annotations"), ("images", "masks"))  # names of the two folders, tried in this order
BOXES = ("Boxes", "boxes")  # names of the folder of boxes, which may be missing


class VideoFolder:
    """``<images>/<sequence>`` (a folder of JPEG or PNG, or ``<sequence>.mp4``) and ``<masks>/<sequence>/*.png``.

    Without `images` and `masks` the usual pairs of names are tried. A root whose two folders hold the files themselves
    is one sequence, named after the root. Any frames may have masks; an object's prompt is the first mask that holds
    its id, so a mask file may hold only the objects that enter there. `split` is a file of names, one per line.

    Objects may be given by boxes instead, in ``<boxes>/<sequence>.json`` or ``.csv`` (see `video.box_file`).
    """

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "folder",
        images: str | None = None,
        masks: str | None = None,
        boxes: str | None = None,
        split: str | Path | None = None,
        sequences: list[str] | None = None,
        exclude: list[str] | None = None,
        single_object: bool = False,
        protocol: str = "generic",
        annotation_step: int = 1,
    ) -> None:
        top = existing_folder(Path(root), "the folder of the videos", "data.root")
        self.name, self.protocol, self.annotation_step = name, protocol, annotation_step
        self.categories_seen: frozenset[str] = frozenset()
        self.single_object = single_object
        self.images, self.masks = _pair(top, images, masks)
        self.boxes = next((top / folder for folder in BOXES if (top / folder).is_dir()), None)
        if boxes is not None:
            self.boxes = existing_folder(top / boxes, "the folder of boxes", "data.root and data.boxes")
        self.flat = bool(image_files(self.images))
        self.videos = {top.resolve().name: self.images} if self.flat else _videos_in(self.images)
        wanted = sequences if split is None or sequences is not None else read_split(Path(split))
        self.sequences = chosen(list(self.videos), wanted, exclude, str(self.images))
        if not self.flat:
            require_folders(self.sequences, name, self.masks)
        log.info("%s: %d sequences, from %s", name, len(self.sequences), top)

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index: int) -> DiskSequence:
        name = self.sequences[index]
        frames = open_frames(self.videos[name], name)
        masks = self.masks if self.flat else self.masks / name
        label_maps = LabelFolder(masks, frames, self.single_object)
        return DiskSequence(frames, label_maps, objects_by_appearance, self._drawn(name, frames.names))

    def _drawn(self, name: str, frame_names: list[str]) -> BoxesByFrame | None:
        files = [] if self.boxes is None else [self.boxes / f"{name}{suffix}" for suffix in SUFFIXES]
        file = next((file for file in files if file.is_file()), None)
        try:
            return None if file is None else read_boxes(file, frame_names)
        except PromptError as error:
            raise DatasetError(str(error)) from error


def _pair(top: Path, images: str | None, masks: str | None) -> tuple[Path, Path]:
    usual = next((pair for pair in PAIRS if (top / pair[0]).is_dir()), PAIRS[0])
    return (
        existing_folder(top / (images or usual[0]), "the folder of images", "data.root and data.images"),
        existing_folder(top / (masks or usual[1]), "the folder of masks", "data.root and data.masks"),
    )


def _videos_in(folder: Path) -> dict[str, Path]:
    items = sorted(folder.iterdir(), key=lambda item: natural_key(item.name))
    shown = [item for item in items if not item.name.startswith(".")]
    videos = {item.stem: item for item in shown if item.suffix.lower() in VIDEO_SUFFIXES}
    videos |= {item.name: item for item in shown if item.is_dir()}
    if not videos:
        raise DatasetError(
            f"{folder}: holds no sequences, expected one folder of images or one video file each; check data.root."
        )
    return dict(sorted(videos.items(), key=lambda pair: natural_key(pair[0])))
