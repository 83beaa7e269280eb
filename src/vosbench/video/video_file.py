"""The frames of a video file, through OpenCV. Headers and seeking lie in both directions, so both are checked."""

import logging
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from vosbench.errors import DatasetError
from vosbench.video.frames import FolderFrames
from vosbench.video.image import IMAGE_SUFFIXES

log = logging.getLogger(__name__)

SEEK_BEYOND = 16  # frames; a seek decodes from the last key frame on, so shorter ways are quicker on foot


class VideoFrames:
    """A video file. Reading in order is fast; any other order gives the same images.

    The file's rotation mark is applied, as players do. Frames are named "00000", "00001", ...
    """

    def __init__(self, path: Path, sequence: str | None = None) -> None:
        self.path, self.sequence = path, path.stem if sequence is None else sequence
        self._lock = threading.Lock()
        self._capture = self._opened()
        self._next = 0  # index of the frame that the next grab() gives
        self._milliseconds: list[float] = []  # time stamps of the frames passed so far, to check where a seek has landed
        self._count = self._counted()
        first = self[0]
        self.size = (first.shape[0], first.shape[1])
        self.frames_per_second = float(self._capture.get(cv2.CAP_PROP_FPS)) or None
        self.names = [f"{frame_index:05d}" for frame_index in range(self._count)]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, frame_index: int) -> UInt8[np.ndarray, "H W 3"]:
        if not 0 <= frame_index < self._count:
            raise IndexError(f"frame {frame_index} of {self._count}")
        with self._lock:  # a prefetching thread and the caller share one reading position
            self._go_to(frame_index)
            image = self._capture.retrieve()[1] if self._grab() else None
        if image is None:
            raise self._damaged(frame_index)
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    def __getstate__(self) -> dict[str, Any]:
        """Only the path travels to another process: an open file cannot."""
        return {"path": self.path, "sequence": self.sequence}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"], state["sequence"])  # type: ignore[misc]

    def _opened(self) -> cv2.VideoCapture:
        if not self.path.is_file():
            raise DatasetError(f"{self.path}: there is no such video file; check the path.")
        capture = cv2.VideoCapture(str(self.path))
        if not capture.isOpened():
            raise DatasetError(
                f"{self.path}: cannot be opened as a video; convert it to mp4 (H.264) or to a folder of JPEG files."
            )
        return capture

    def _counted(self) -> int:
        """Number of frames: the header's if exactly the last one of it can be reached, else by going through the file."""
        promised = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        exact = False
        if promised > 0 and self._capture.set(cv2.CAP_PROP_POS_FRAMES, promised - 1):
            exact = self._capture.grab() and not self._capture.grab()
        self._rewind()
        if exact:
            return promised
        count = 0
        while self._grab():
            count += 1
        self._rewind()
        if 0 < count < promised:
            log.warning(
                "%s: its header promises %d frames but %d can be decoded; the file may be cut off.", self.path, promised, count
            )
        if count == 0:
            raise DatasetError(f"{self.path}: holds no frame that can be decoded; convert it to mp4 (H.264) again.")
        return count

    def _go_to(self, frame_index: int) -> None:
        """Make `frame_index` the next frame to be grabbed."""
        passed = min(frame_index, len(self._milliseconds))
        if frame_index < self._next or passed > self._next + SEEK_BEYOND:
            self._seek(passed)
        while self._next < frame_index:
            if not self._grab():
                raise self._damaged(self._next)

    def _seek(self, frame_index: int) -> None:
        """Jump to a frame whose predecessor was passed before; where its time stamp disagrees, start again and count."""
        # One frame early, because a time stamp is known only after the frame has been grabbed.
        expected = self._milliseconds[frame_index - 1] if frame_index > 0 else 0.0
        jumped = expected > 0 and self._capture.set(cv2.CAP_PROP_POS_FRAMES, frame_index - 1) and self._capture.grab()
        if jumped and self._capture.get(cv2.CAP_PROP_POS_MSEC) == expected:
            self._next = frame_index
        else:
            self._rewind()

    def _grab(self) -> bool:
        if not self._capture.grab():
            return False
        if self._next == len(self._milliseconds):
            self._milliseconds.append(float(self._capture.get(cv2.CAP_PROP_POS_MSEC)))
        self._next += 1
        return True

    def _rewind(self) -> None:
        """Opening again is the only way back that every container obeys."""
        self._capture.release()
        self._capture = self._opened()
        self._next = 0

    def _damaged(self, frame_index: int) -> DatasetError:
        return DatasetError(
            f"{self.path}: frame {frame_index} of {self._count} of sequence '{self.sequence}' cannot be decoded; "
            "cut or convert the video."
        )


def open_frames(path: Path, sequence: str | None = None) -> FolderFrames | VideoFrames:
    """Frames of a folder of images or of a video file."""
    if path.is_dir():
        return FolderFrames(path, sequence)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise DatasetError(f"{path}: is a single image, expected a video file or a folder of images; give the folder.")
    if not path.exists():
        raise DatasetError(f"{path}: there is no such video file or folder of images; check the path.")
    return VideoFrames(path, sequence)
