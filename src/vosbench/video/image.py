"""One image file: decoded to RGB, or only its size. A damaged file is an error, never a grey picture."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vosbench.errors import DatasetError

PNG_END = b"IEND\xaeB`\x82"  # type and check sum of the last chunk
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


def read_image(path: Path, place: str) -> UInt8[np.ndarray, "H W 3"]:
    """RGB of a JPEG or PNG. `place` names it to the user ("frame '00005' of sequence 'bear'").

    The EXIF orientation is not applied: masks are drawn on the pixels as stored.
    """
    data = read_bytes(path, place)
    if not _is_complete(data):
        raise DatasetError(f"{path}: {place} is cut off after {len(data)} bytes; copy the file again.")
    # Decoding from memory: OpenCV cannot open paths outside the system's code page on every platform.
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise DatasetError(f"{path}: {place} cannot be decoded as JPEG or PNG; copy the file again.")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_bytes(path: Path, place: str) -> bytes:
    """Content of a file that must be there and must not be empty."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: {place} cannot be read ({error.strerror}); restore the file or its permissions.") from error
    if not data:
        raise DatasetError(f"{path}: {place} is an empty file; copy it again.")
    return data


def image_size(path: Path, place: str) -> tuple[int, int]:
    """(H, W) from the file's header; the pixels are not decoded."""
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except OSError as error:  # Pillow's "unidentified image" is one, too
        raise DatasetError(f"{path}: {place} cannot be read as JPEG or PNG; copy the file again.") from error


def _is_complete(data: bytes) -> bool:
    """Whether the end mark is there. Some versions of OpenCV fill the rest of a truncated JPEG with grey and say nothing."""
    if data.startswith(b"\xff\xd8"):
        end = b"\xff\xd9"
        # An embedded thumbnail has an end mark of its own: the last one must come after the last start of scan.
        return data.endswith(end) or data.rfind(end) > data.rfind(b"\xff\xda")
    if data.startswith(b"\x89PNG"):
        return PNG_END in data[-64:]  # the last bytes of a clean file; a few more follow where a program has appended something
    return True  # not one of the two: the decoder says so
