"""Tiny data sets on disk, for tests."""

from pathlib import Path

import cv2
import numpy as np

from vosbench.video.label_map import write_label_map


def label_map(*ids: int, size: tuple[int, int] = (24, 32)) -> np.ndarray:
    """A map in which each id has a bar of its own, four pixels wide, at column 4 (id modulo 8)."""
    result = np.zeros(size, np.uint8)
    for object_id in ids:
        start = 4 * (object_id % 8)
        result[2:-2, start : start + 4] = object_id
    return result


def write_images(folder: Path, names: list[str], size: tuple[int, int] = (24, 32)) -> None:
    """JPEG files, each of its own grey."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        cv2.imwrite(str(folder / f"{name}.jpg"), np.full((*size, 3), 5 * number, np.uint8))


def write_masks(folder: Path, masks: dict[str, tuple[int, ...]], size: tuple[int, int] = (24, 32)) -> None:
    """One palette PNG per name, with these ids."""
    for name, ids in masks.items():
        write_label_map(folder / f"{name}.png", label_map(*ids, size=size))
