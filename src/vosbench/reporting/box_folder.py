"""`BoxFolder`: predicted boxes with their masks as COCO has them, one file for each sequence, beside the masks' PNGs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from pycocotools import mask as rle

from vosbench.reporting.written_beside import write_text
from vosbench.video.prompt import Box

CATEGORIES = [{"id": 1, "name": "object"}]  # the objects of a video have no classes


class BoxFolder:
    """``folder/<sequence>.json``: an `images` entry for every frame, an `annotations` entry for every object that has a box there.

    ``bbox`` is [x, y, width, height] in pixels, ``segmentation`` the object's mask as compressed run lengths, ``object_id`` the id
    that the PNGs have. A file is written by `close`, whole; a method without boxes leaves none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._images: list[dict[str, Any]] = []
        self._objects: list[dict[str, Any]] = []

    def add(self, frame_name: str, label_map: UInt8[np.ndarray, "H W"], boxes: Mapping[int, Box | None]) -> None:
        """Take the next frame of the sequence."""
        height, width = label_map.shape
        image_id = len(self._images) + 1
        self._images.append({"id": image_id, "file_name": frame_name, "height": height, "width": width})
        for object_id, box in sorted(boxes.items()):
            if box is None:
                continue
            code = rle.encode(np.asfortranarray(label_map == object_id).astype(np.uint8))
            x0, y0, x1, y1 = (round(edge, 2) for edge in box)
            self._objects.append(
                {
                    "id": len(self._objects) + 1,
                    "image_id": image_id,
                    "category_id": CATEGORIES[0]["id"],
                    "object_id": object_id,
                    "bbox": [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)],
                    "area": int(rle.area(code)),
                    "iscrowd": 0,
                    "segmentation": {"size": [height, width], "counts": code["counts"].decode("ascii")},
                }
            )

    def close(self, sequence: str) -> Path | None:
        """Write the sequence's file, if there was a box, and be ready for the next one."""
        content = {"info": {"description": sequence}, "images": self._images, "annotations": self._objects}
        path = (
            write_text(self.folder / f"{sequence}.json", json.dumps(content | {"categories": CATEGORIES}))
            if self._objects
            else None
        )
        self._images, self._objects = [], []
        return path
