"""COCO instances as annotated images: Lin et al., ECCV 2014."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from pycocotools import mask as rle

from vosbench.datasets.selection import existing_folder
from vosbench.errors import DatasetError
from vosbench.video.image import read_image
from vosbench.video.still import Still

log = logging.getLogger(__name__)

MOST_OBJECTS = 254  # 255 marks ignored pixels in clips
IGNORED = 255


class CocoStills:
    """``annotations/instances_<split>.json`` and ``<split>/*.jpg``; images without an admissible object are left out.

    Crowds, objects below `min_area` pixels (500 is AFB-URR's) and above `max_area_share` of the image (QMRA: 0.8) are
    skipped. Ids are 1..n in order of falling area, later ones painted over earlier ones, so that small objects stay visible.
    With `ignore_crowds`, what of a crowd no object covers is 255, which no loss looks at, and not background.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        split: str = "train2017",
        min_area: int = 500,
        max_area_share: float = 1.0,
        ignore_crowds: bool = False,
    ) -> None:
        top = existing_folder(Path(root), "the COCO folder (with annotations and train2017)", "the set's root")
        self.images = existing_folder(top / split, "the folder of images", "the set's root and split")
        self.name = f"coco/{split}"
        content = read_instances(top / "annotations" / f"instances_{split}.json", "images")
        files = {item["id"]: item for item in content["images"]}
        objects: dict[int, list[dict[str, Any]]] = {}
        crowds: dict[int, list[Any]] = {}
        for item in content["annotations"]:
            image = files[item["image_id"]]
            large = item["area"] > max_area_share * image["height"] * image["width"]
            if item["iscrowd"] and ignore_crowds:
                crowds.setdefault(item["image_id"], []).append(item["segmentation"])
            elif not item["iscrowd"] and item["area"] >= min_area and not large:
                objects.setdefault(item["image_id"], []).append({"area": item["area"], "segmentation": item["segmentation"]})
        if not objects:
            raise DatasetError(
                f"{self.name}: no image holds an object of {min_area} pixels or more; check min_area and max_area_share."
            )
        self.stills = [(files[key]["file_name"], objects[key], crowds.get(key, [])) for key in sorted(objects)]
        log.info("%s: %d of %d images hold objects, from %s", self.name, len(self.stills), len(files), top)

    def __len__(self) -> int:
        return len(self.stills)

    def __getitem__(self, index: int) -> Still:
        file_name, objects, crowds = self.stills[index]
        image = read_image(self.images / file_name, f"image '{file_name}' of {self.name}")
        label_map = painted(objects, crowds, image.shape[0], image.shape[1], str(self.images / file_name))
        return Still(Path(file_name).stem, image, label_map)


def painted(objects: list[dict[str, Any]], ignored: list[Any], height: int, width: int, place: str) -> UInt8[np.ndarray, "H W"]:
    """Label map of COCO objects (`area`, `segmentation`), the largest at the bottom, over the ignored segmentations."""
    label_map = np.zeros((height, width), np.uint8)
    for segmentation in ignored:
        label_map[decoded_mask(segmentation, height, width, place)] = IGNORED
    by_size = sorted(objects, key=lambda item: -item["area"])[:MOST_OBJECTS]
    for object_id, item in enumerate(by_size, start=1):
        label_map[decoded_mask(item["segmentation"], height, width, place)] = object_id
    return label_map


def decoded_mask(segmentation: Any, height: int, width: int, place: str) -> Bool[np.ndarray, "H W"]:
    """Polygons, run lengths as a list, or compressed run lengths. The decoder takes the last alone."""
    if isinstance(segmentation, list):
        code = rle.merge(rle.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        code = rle.frPyObjects(segmentation, *segmentation["size"])
    else:
        code = segmentation
    mask = rle.decode(code).astype(bool)
    if mask.shape != (height, width):
        raise DatasetError(
            f"{place}: a mask of the annotation file is {mask.shape[0]}x{mask.shape[1]} but the image is {height}x{width} "
            "(height x width); take images and annotations from one release."
        )
    return mask


def read_instances(path: Path, of: str) -> dict[str, Any]:
    """An annotation file: instances of "images" (COCO) or of "videos" (YouTube-VIS)."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DatasetError(
            f"{path}: the annotation file cannot be read ({error.strerror}); check the set's root and split."
        ) from error
    except ValueError as error:
        raise DatasetError(f"{path}: is not valid JSON; copy the annotation file again.") from error
    if not isinstance(content, dict) or not {of, "annotations"} <= content.keys():
        raise DatasetError(f"{path}: lacks '{of}' or 'annotations', expected instances of {of}; check which file that is.")
    return content
