"""Annotated images: FSS-1000, DUTS, ECSSD, MSRA10K, HKU-IS, SOC, HRSOD, BIG, PASCAL-S, VOC, and whatever is laid out so."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from vosbench.datasets.selection import existing_folder
from vosbench.errors import DatasetError
from vosbench.video.frames import natural_key
from vosbench.video.image import IMAGE_SUFFIXES, PNG_END, read_bytes, read_image
from vosbench.video.label_map import read_label_map
from vosbench.video.still import Still

log = logging.getLogger(__name__)

PALETTE_COLOUR_TYPE = 3  # in byte 25 of a PNG


class StillFolder:
    """A folder of images and one of masks, paired by path without ending, at any depth. One folder may hold both:
    then JPEG files are images and PNG files are masks. A pair with a missing partner is skipped and counted.

    The object is mask > 127 (label > 0 in a palette file), unless `multi_object`: then labels are object ids, and those
    above `max_label` become background (VOC: 20). `skip_empty` decodes all masks once, at the start, and leaves out those
    without an object (half of SOC).
    """

    def __init__(
        self,
        root: str | Path,
        *,
        images: str = ".",
        masks: str = ".",
        name: str | None = None,
        multi_object: bool = False,
        max_label: int = 255,
        skip_empty: bool = False,
    ) -> None:
        top = Path(root)
        image_folder = existing_folder(top / images, "the folder of images", "the set's root and images")
        mask_folder = existing_folder(top / masks, "the folder of masks", "the set's root and masks")
        self.name = top.name if name is None else name
        self.multi_object, self.max_label = multi_object, max_label
        together = image_folder.resolve() == mask_folder.resolve()
        found = _by_stem(image_folder, IMAGE_SUFFIXES - {".png"} if together else IMAGE_SUFFIXES)
        partners = _by_stem(mask_folder, frozenset({".png"}))
        stems = sorted(found.keys() & partners.keys(), key=natural_key)
        if not stems:
            raise DatasetError(
                f"{image_folder}: none of its {len(found)} images has a mask of the same name among the {len(partners)} in "
                f"{mask_folder}, expected <name>.jpg and <name>.png; check the set's root, images and masks."
            )
        self.pairs = [(stem, found[stem], partners[stem]) for stem in stems]
        alone = len(found.keys() ^ partners.keys())
        empty = self._leave_out_empty() if skip_empty else 0
        log.info(
            "%s: %d stills from %s; skipped %d files without partner, %d empty masks",
            self.name, len(self.pairs), top, alone, empty,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Still:
        name, image_path, mask_path = self.pairs[index]
        image = read_image(image_path, f"image '{name}' of {self.name}")
        label_map = self._label_map(mask_path)
        if label_map.shape != image.shape[:2]:
            raise DatasetError(
                f"{mask_path}: mask is {label_map.shape[0]}x{label_map.shape[1]} but image '{name}' of {self.name} is "
                f"{image.shape[0]}x{image.shape[1]} (height x width); take both from one release of the set."
            )
        return Still(name, image, label_map)

    def _label_map(self, path: Path) -> UInt8[np.ndarray, "H W"]:
        if not self.multi_object:
            return read_matte(path)
        label_map = read_label_map(path)
        return np.where(label_map <= self.max_label, label_map, np.uint8(0))

    def _leave_out_empty(self) -> int:
        before = len(self.pairs)
        with ThreadPoolExecutor() as pool:  # decoding leaves Python's lock
            filled = list(pool.map(lambda pair: bool(self._label_map(pair[2]).any()), self.pairs))
        self.pairs = [pair for pair, has_object in zip(self.pairs, filled, strict=True) if has_object]
        if not self.pairs:
            raise DatasetError(f"{self.name}: all of its {before} masks are empty; check the set's masks folder.")
        return before - len(self.pairs)


def read_matte(path: Path) -> UInt8[np.ndarray, "H W"]:
    """0/1 mask of one object: grey value > 127 (colours are turned to grey: FSS-1000 stores RGB), or label > 0 of a palette."""
    data = read_bytes(path, "the mask")
    if data[25:26] == bytes([PALETTE_COLOUR_TYPE]):
        return read_label_map(path, single_object=True)
    grey = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if grey is None or PNG_END not in data[-64:]:
        raise DatasetError(f"{path}: the mask cannot be decoded as PNG, or is cut off; copy the file again.")
    if grey.any() and int(grey.max()) == 1:
        raise DatasetError(f"{path}: the mask holds only 0 and 1 where 0 and 255 are expected; set multi_object=true for labels.")
    return (grey > 127).astype(np.uint8)


def _by_stem(folder: Path, suffixes: frozenset[str]) -> dict[str, Path]:
    """Files at any depth by their path without ending; "._x.png" and the like are left out."""
    files = (item for item in sorted(folder.rglob("*")) if item.suffix.lower() in suffixes and not item.name.startswith("."))
    return {item.relative_to(folder).with_suffix("").as_posix(): item for item in files}
