"""Colours of object ids in label-map files. Scorers ignore them; people look at them."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image


def voc_palette() -> UInt8[np.ndarray, "256 3"]:
    """The 256 colours of PASCAL VOC that DAVIS files carry: black, maroon, green, olive, ...

    For index i and bit plane j = 0..7, bits 0, 1, 2 of ``i >> 3j`` go to bit ``7 - j`` of red, green, blue.
    """
    index = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for plane in range(8):
        for channel in range(3):
            bit = (index >> (3 * plane + channel)) & 1
            palette[:, channel] |= (bit << (7 - plane)).astype(np.uint8)
    return palette


def read_palette(path: Path) -> UInt8[np.ndarray, "256 3"] | None:
    """The palette that a PNG carries, filled up with VOC colours; None for a gray file.

    Written masks keep the colours of the first annotation, so that both look alike side by side.
    """
    with Image.open(path) as image:
        colours = image.getpalette() if image.mode == "P" else None
    if colours is None:
        return None
    palette = voc_palette()
    own = np.array(colours, np.uint8).reshape(-1, 3)[:256]
    palette[: len(own)] = own
    return palette
