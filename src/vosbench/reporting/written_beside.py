"""Files that are either whole or absent: written beside their place, then renamed into it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from vosbench.errors import RunError


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder and with the same suffix; it takes the place of `path` when the block ends well
    and disappears when it does not. The folder is made where it is missing."""
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(path, error) from error
    try:
        yield beside  # errors in here are the caller's: they may come from elsewhere, e.g. from decoding a frame
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> Path:
    """Write a file whole; `RunError` where it cannot be written. Returns the path."""
    with written_beside(path) as beside:
        try:
            beside.write_bytes(data)
        except OSError as error:
            raise _refused(path, error) from error
    return path


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text; returns the path."""
    return write_bytes(path, text.encode("utf-8"))


def write_image(path: Path, image: UInt8[np.ndarray, "H W 3"]) -> Path:
    """Write an RGB image, JPEG or PNG by the suffix; returns the path."""
    if path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise ValueError(f"{path}: images are written as .jpg or .png")
    options = [] if path.suffix.lower() == ".png" else [cv2.IMWRITE_JPEG_QUALITY, 90]
    _, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return write_bytes(path, data.tobytes())


def _refused(path: Path, error: OSError) -> RunError:
    return RunError(f"{path} cannot be written: {error.strerror or error}; choose a folder that can be written to.")
