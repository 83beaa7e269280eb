"""DAVIS 2016 and 2017: Perazzi et al., CVPR 2016; Pont-Tuset et al., arXiv 1704.00675."""

import logging
from pathlib import Path

from vosbench.datasets.disk_sequence import DiskSequence, objects_of_first_mask
from vosbench.datasets.label_folder import LabelFolder
from vosbench.datasets.selection import chosen, existing_folder, name_of, read_split, require_folders, subfolders
from vosbench.errors import DatasetError
from vosbench.video.frames import FolderFrames

log = logging.getLogger(__name__)


class Davis:
    """A split of DAVIS: ``JPEGImages/<resolution>/<sequence>`` and ``Annotations/<resolution>/<sequence>``.

    Year 2016 has one object per video, the union of all labels, and protocol `single`; 2017 has several and protocol
    `davis`. `sequences` replaces the split file, `exclude` leaves some out: together they hold a part of a split out.
    """

    annotation_step = 1
    categories_seen: frozenset[str] = frozenset()

    def __init__(
        self,
        root: str | Path,
        *,
        year: int,
        split: str,
        resolution: str = "480p",
        sequences: list[str] | None = None,
        exclude: list[str] | None = None,
    ) -> None:
        if year not in (2016, 2017):
            raise ValueError(f"year must be 2016 or 2017, got {year}")
        top = existing_folder(Path(root), "the DAVIS folder (with JPEGImages, Annotations, ImageSets)", "data.root")
        self.images = existing_folder(top / "JPEGImages" / resolution, "the folder of images", "data.root and data.resolution")
        self.masks = existing_folder(top / "Annotations" / resolution, "the folder of masks", "data.root and data.resolution")
        self.name, self.protocol = f"davis{year % 100}/{split}", "single" if year == 2016 else "davis"
        self.single_object = year == 2016
        names = subfolders(self.images) if sequences is not None else read_split(_split_file(top, year, split, resolution))
        self.sequences = chosen(names, sequences, exclude, self.name)
        self.name = name_of(self.name, sequences, exclude)
        require_folders(self.sequences, self.name, self.images, self.masks)
        log.info("%s: %d sequences at %s, from %s", self.name, len(self.sequences), resolution, top)

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index: int) -> DiskSequence:
        name = self.sequences[index]
        frames = FolderFrames(self.images / name, name)
        label_maps = LabelFolder(self.masks / name, frames, self.single_object)
        _require_all_or_first(label_maps)
        return DiskSequence(frames, label_maps, objects_of_first_mask)


def _split_file(top: Path, year: int, split: str, resolution: str) -> Path:
    """`ImageSets/<year>/<split>.txt`; the original package of 2016 sorts by resolution instead."""
    files = [top / "ImageSets" / str(year) / f"{split}.txt"]
    if year == 2016:
        files += [top / "ImageSets" / folder / f"{split}.txt" for folder in dict.fromkeys((resolution, "480p", "1080p"))]
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        splits = sorted(file.stem for folder in {file.parent for file in files} for file in folder.glob("*.txt"))
        raise DatasetError(
            f"{files[0]}: the list of split '{split}' is missing (there: {', '.join(splits) or 'none'}); "
            "set data.root, or choose sequences by name: data.holdout=[...] for validation."
        )
    return found


def _require_all_or_first(label_maps: LabelFolder) -> None:
    """Train and val are masked throughout, test splits in the first frame only; anything between is a broken copy."""
    if 1 < len(label_maps) < len(label_maps.frames):
        frame = next(name for frame_index, name in enumerate(label_maps.frames.names) if frame_index not in label_maps)
        raise DatasetError(
            f"{label_maps.folder / frame}.png: the mask of frame '{frame}' of sequence '{label_maps.frames.sequence}' is missing "
            f"({len(label_maps)} masks for {len(label_maps.frames)} frames); copy the masks again."
        )
