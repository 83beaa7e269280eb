"""`MaskFolder`: predictions as palette PNGs, written while the video is computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from vosbench.errors import RunError
from vosbench.video.label_map import write_label_map


class MaskFolder:
    """``folder/<sequence>/<frame>.png``, ids as the data set has them. Each file is whole or absent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, sequence: str, frame_name: str, label_map: UInt8[np.ndarray, "H W"]) -> Path:
        """Write one frame; returns its path."""
        path = self.folder / sequence / f"{frame_name}.png"
        with writable(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_label_map(path, label_map)
        return path


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write into a sentence."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{path}: cannot be written ({error.strerror or error}); choose a folder that can be written to."
        ) from error
