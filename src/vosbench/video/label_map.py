"""Label maps as files: one object id per pixel, read and written as palette PNG. Indices count, never colours."""

import os
import struct
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from vosbench.errors import DatasetError
from vosbench.video.palette import voc_palette
from vosbench.video.png import read_indices

# Decision: up to so many ids are never suspected. A resized 0/255 mask has a hundred or more, a JPEG of quality 95 about 16.
SUSPICIOUS_IDS = 12


def read_label_map(path: Path, single_object: bool = False) -> UInt8[np.ndarray, "H W"]:
    """Object ids of a PNG (palette, gray or gray + alpha), ids as stored.

    `single_object` makes every label above 0 object 1: DAVIS 2016 is distributed as 0/255, and inside the 2017 package
    its target is the union of all objects. Raises `DatasetError` for colours, damage, and anti-aliased edges.
    """
    label_map = read_indices(path)
    _refuse_interpolated(label_map, path)
    if single_object:
        return (label_map > 0).astype(np.uint8)
    return label_map


def ids_present(label_map: UInt8[np.ndarray, "H W"]) -> list[int]:
    """Ids above 0 that occur, rising."""
    # OpenCV's histogram takes two thirds of the time of numpy's bincount, which copies the map to 64 bits first.
    histogram = cv2.calcHist([label_map], [0], None, [256], [0, 256]).ravel()
    return [int(object_id) for object_id in np.flatnonzero(histogram) if object_id > 0]


def _refuse_interpolated(label_map: UInt8[np.ndarray, "H W"], path: Path) -> None:
    """Interpolated or JPEG-coded masks carry grey levels along the edges, and each would become an object.

    Their ids have no interior (no 3x3 block of one id) and lie between the ids around them; objects do not.
    """
    if label_map.max(initial=0) <= SUSPICIOUS_IDS:  # the usual case, in a hundredth of a histogram's time
        return
    ids = ids_present(label_map)
    if len(ids) <= SUSPICIOUS_IDS:
        return
    block = np.ones((3, 3), np.uint8)
    low, high = cv2.erode(label_map, block), cv2.dilate(label_map, block)
    without_interior = sorted(set(ids) - set(ids_present(np.where(low == high, label_map, np.uint8(0)))))
    if 2 * len(without_interior) <= len(ids):
        return
    thin = np.isin(label_map, np.array(without_interior, np.uint8))
    between = thin & (low < label_map) & (label_map < high)
    if 2 * np.count_nonzero(between) > np.count_nonzero(thin):
        raise DatasetError(
            f"{path}: holds {len(ids)} object ids, most of them only as grey levels along edges, as after resizing with "
            "interpolation, anti-aliasing or JPEG; write the mask again from the original with nearest-neighbour resizing."
        )


def write_label_map(path: Path, label_map: UInt8[np.ndarray, "H W"], palette: UInt8[np.ndarray, "256 3"] | None = None) -> None:
    """8-bit palette PNG with indices = ids; VOC colours unless a palette is given. Folders are made as needed.

    Written beside and renamed, so that a reader or an interrupted run never sees half a file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        beside.write_bytes(_encoded(label_map, voc_palette() if palette is None else palette))
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _encoded(label_map: UInt8[np.ndarray, "H W"], palette: UInt8[np.ndarray, "256 3"]) -> bytes:
    height, width = label_map.shape
    rows = np.zeros((height, width + 1), np.uint8)  # each row starts with its filter, 0 = none: fastest to read back
    rows[:, 1:] = label_map
    # Run lengths are all there is in a label map: as small as level 3 in less time, on a map of 44 objects.
    deflate = zlib.compressobj(level=6, strategy=zlib.Z_RLE)
    data = deflate.compress(rows.tobytes()) + deflate.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)  # 8 bits, palette, deflate, not interlaced
    chunks = ((b"IHDR", header), (b"PLTE", palette.tobytes()), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in chunks)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
