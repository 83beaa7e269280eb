"""Label maps out of PNG files: indices, never colours, as fast as the format allows.

Scoring a data set is mostly reading PNGs, so the usual kind (8 bits, gray or palette, simple row filters) is inflated and
viewed directly; whatever is rarer goes through Pillow, imported only then. Arrays are annotated with plain numpy here and in
`vosbench.metrics`: importing jaxtyping alone would cost the scoring command half as much again as numpy does.
"""

import io
import os
import struct
import zlib
from types import ModuleType
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from vosbench.errors import DatasetError

try:  # about five times faster than zlib on label maps; the same bytes come out
    from isal import isal_zlib

    inflater: ModuleType = isal_zlib
except ImportError:
    inflater = zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GRAY, PALETTE, GRAY_ALPHA = 0, 3, 4  # colour types of the format; 2 and 6 are colours
SUB, UP = 1, 2  # row filters


class _Header(NamedTuple):
    width: int
    height: int
    depth: int  # bits per sample
    colour_type: int
    interlaced: int


def read_indices(path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """The label map (H, W) that a PNG holds, writable and contiguous.

    Palette and gray of any depth; of gray + alpha the first channel (DAVIS 2016 has such a file); 16-bit gray when all values
    fit into 0..255. Raises `DatasetError`, naming the file, for a file that is missing, damaged, cut short or in colours.
    """
    return np.array(view_indices(path), order="C")


def view_indices(path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """As `read_indices`, but possibly a read-only, strided view: for a caller that copies the map anyway."""
    data = _file_content(path)
    header, compressed = _chunks(data, path)
    if header.colour_type not in (GRAY, PALETTE, GRAY_ALPHA):
        raise DatasetError(
            f"{path}: the file holds colours instead of indices; a label map is a palette or gray PNG whose pixel values are "
            "object ids: write it so."
        )
    if header.interlaced or header.depth > 8 or header.colour_type == GRAY_ALPHA:
        return _through_pillow(data, header, path)
    row_bytes = (header.width * header.depth + 7) // 8
    rows = _inflate(compressed, header.height, row_bytes + 1, path)
    filters, samples = rows[:, 0], rows[:, 1:]
    if filters.any():
        if filters.max() > UP:  # Average and Paeth go pixel by pixel: Pillow's loop is compiled
            return _through_pillow(data, header, path)
        samples = _unfiltered(filters, samples)
    return samples if header.depth == 8 else _unpacked(samples, header)


def _file_content(path: str | os.PathLike[str]) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except FileNotFoundError:
        raise DatasetError(
            f"{path}: this label map does not exist; check the folder's name and that every frame has its PNG."
        ) from None
    except OSError as error:
        raise DatasetError(
            f"{path}: this label map cannot be read ({error.strerror}); check the path and its permissions."
        ) from None


def _damaged(path: str | os.PathLike[str], finding: str) -> DatasetError:
    return DatasetError(f"{path}: the PNG is damaged ({finding}); copy or write the file again.")


def _chunks(data: bytes, path: str | os.PathLike[str]) -> tuple[_Header, bytes | memoryview]:
    """Header and compressed pixels. Checksums of both are verified: a flipped bit must not become a score."""
    if not data.startswith(SIGNATURE):
        raise DatasetError(f"{path}: this is not a PNG file; label maps are stored as PNG, which keeps object ids unchanged.")
    view, position, header, pieces = memoryview(data), len(SIGNATURE), None, []
    while True:
        if position + 12 > len(data):
            raise _damaged(path, "it ends before its last chunk")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            raise _damaged(path, "it ends before its last chunk")
        if kind in (b"IHDR", b"IDAT"):
            if inflater.crc32(view[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
                raise _damaged(path, f"the checksum of its {kind.decode()} chunk is wrong")
            if kind == b"IDAT":
                pieces.append(view[position + 8 : end])
            elif length == 13:
                width, height, depth, colour_type, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, position + 8)
                header = _Header(width, height, depth, colour_type, interlaced)
        elif kind == b"IEND":
            break
        position = end + 4
    if header is None or not pieces or 0 in header[:3]:
        raise _damaged(path, "header or pixels are missing")
    return header, pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _inflate(compressed: bytes | memoryview, height: int, row_bytes: int, path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """Rows as stored: a filter byte, then the samples."""
    try:
        raw = inflater.decompress(compressed, 15, height * row_bytes)
    except (zlib.error, inflater.error) as error:
        raise _damaged(path, f"its pixels cannot be inflated: {error}") from None
    if len(raw) != height * row_bytes:
        raise _damaged(path, f"{len(raw)} bytes of pixels where its size needs {height * row_bytes}")
    return np.frombuffer(raw, np.uint8).reshape(height, row_bytes)


def _unfiltered(filters: npt.NDArray[np.uint8], samples: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Undo Sub (differences to the left) and Up (differences to the row above); sums wrap at 256 as the format wants."""
    result = samples.copy()
    sub = filters == SUB
    result[sub] = np.cumsum(result[sub], axis=1, dtype=np.uint8)
    for row in np.flatnonzero(filters == UP):
        if row:  # above the first row lie zeros
            result[row] += result[row - 1]
    return result


def _unpacked(samples: npt.NDArray[np.uint8], header: _Header) -> npt.NDArray[np.uint8]:
    """One byte per pixel from 1, 2 or 4 bits, first pixel in the highest bits."""
    shifts = np.arange(8 - header.depth, -1, -header.depth, dtype=np.uint8)
    pixels = (samples[:, :, None] >> shifts) & np.uint8((1 << header.depth) - 1)
    return cast(npt.NDArray[np.uint8], pixels.reshape(header.height, -1)[:, : header.width])


def _through_pillow(data: bytes, header: _Header, path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """The rare kinds: interlaced, 16 bits, gray + alpha, Average and Paeth filters."""
    from PIL import Image

    if header.colour_type == GRAY_ALPHA and header.depth == 16:  # Pillow keeps the high byte alone: ids would be lost
        raise DatasetError(f"{path}: a label map cannot be 16-bit gray with alpha; write it as an 8-bit palette PNG.")
    try:
        with Image.open(io.BytesIO(data)) as image:
            values = np.asarray(image)
    except (OSError, SyntaxError, ValueError, zlib.error) as error:
        raise _damaged(path, str(error)) from None
    if values.ndim == 3:
        values = values[:, :, 0]
    if header.depth == 16 and values.max() > 255:
        raise DatasetError(f"{path}: the largest value is {values.max()}, but object ids end at 255; a label map cannot hold it.")
    if header.colour_type == GRAY and header.depth in (2, 4):  # Pillow stretches these to 0..255
        values = values // (255 // ((1 << header.depth) - 1))
    return values.astype(np.uint8)
