"""The images of one sequence, decoded when asked for: a folder of images, or ahead of their use in a thread."""

import os
import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from vosbench.errors import DatasetError
from vosbench.video.image import IMAGE_SUFFIXES, image_size, read_image
from vosbench.video.sequence import Frames


def natural_key(name: str) -> tuple[str | int, ...]:
    """Sort key under which frame 10 comes after frame 9, padded with zeros or not."""
    return tuple(int(part) if place % 2 else part for place, part in enumerate(re.split(r"(\d+)", name)))


def image_files(folder: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Image files directly in a folder, in natural order of their stems; hidden files are not images."""
    with os.scandir(folder) as entries:
        names = [item.name for item in entries if not item.name.startswith(".") and Path(item.name).suffix.lower() in suffixes]
    return [folder / name for name in sorted(names, key=lambda name: (natural_key(Path(name).stem), name))]


class FolderFrames:
    """A folder of JPEG or PNG files, in natural order of their names. All frames have the size of the first."""

    def __init__(self, folder: Path, sequence: str | None = None) -> None:
        self.sequence = folder.name if sequence is None else sequence
        if not folder.is_dir():
            raise DatasetError(f"{folder}: the folder with the frames of sequence '{self.sequence}' is missing; check data.root.")
        self.paths = image_files(folder)
        if not self.paths:
            raise DatasetError(
                f"{folder}: holds no frames of sequence '{self.sequence}', expected *.jpg or *.png; add them or remove it."
            )
        self.names = [path.stem for path in self.paths]
        if len(set(self.names)) < len(self.names):
            twice = next(name for place, name in enumerate(self.names) if name in self.names[:place])
            raise DatasetError(
                f"{folder}: frame '{twice}' of sequence '{self.sequence}' is there twice, with two endings; remove one of them."
            )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, frame_index: int) -> UInt8[np.ndarray, "H W 3"]:
        path = self.paths[frame_index]
        image = read_image(path, f"frame '{path.stem}' of sequence '{self.sequence}'")
        if image.shape[:2] != self.size:
            height, width = self.size
            raise DatasetError(
                f"{path}: frame '{path.stem}' of sequence '{self.sequence}' is {image.shape[0]}x{image.shape[1]} but the first "
                f"frame is {height}x{width} (height x width); a sequence has one size, so resize the frame or split the sequence."
            )
        return image

    @cached_property
    def size(self) -> tuple[int, int]:
        """(H, W), from the first file's header."""
        return image_size(self.paths[0], f"frame '{self.names[0]}' of sequence '{self.sequence}'")


def prefetched(frames: Frames, ahead: int = 8) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """The frames in order, decoded by a thread while the caller works on earlier ones; at most `ahead` are waiting.

    An error of a frame is raised at that frame's turn. Closing or dropping the iterator stops the thread.
    """
    if ahead < 1:
        raise ValueError(f"ahead must be at least 1, got {ahead}: it counts decoded frames that wait")
    # One thread: a video file has one reading position, and images in order are decoded faster than a network eats them.
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="decoder") as decoder:
        waiting: deque[Future[np.ndarray]] = deque()
        try:
            for frame_index in range(len(frames)):
                waiting.append(decoder.submit(frames.__getitem__, frame_index))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
