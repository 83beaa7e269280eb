"""Overlays as a video file."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from jaxtyping import UInt8

from vosbench.errors import RunError
from vosbench.reporting.overlays import overlay
from vosbench.reporting.written_beside import written_beside
from vosbench.video.prompt import Box


class OverlayVideo:
    """MP4 of overlays, frame by frame: `with OverlayVideo(path, fps=24.0) as video: video.add(image, label_map)`.

    The file appears under its name when the block ends well, and not at all when it does not or when no frame came.
    `RunError` where this build of OpenCV has no MPEG-4 encoder, or a frame changes its size.
    """

    def __init__(self, path: Path, fps: float = 24.0, alpha: float = 0.5) -> None:
        self.path, self.fps, self.alpha = path, fps, alpha
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._place = ExitStack()

    def __enter__(self) -> "OverlayVideo":
        return self

    def add(
        self,
        image: UInt8[np.ndarray, "H W 3"],
        label_map: UInt8[np.ndarray, "H W"],
        boxes: Mapping[int, Box | None] | None = None,
    ) -> None:
        """Append one frame, with the lines of the boxes of objects."""
        height, width = image.shape[:2]
        if self._writer is None:
            self._size = (height, width)
            self._writer = self._opened(height, width)
        if (height, width) != self._size:
            raise RunError(
                f"{self.path}: a frame of {width}x{height} pixels follows frames of {self._size[1]}x{self._size[0]}; "
                "a video has one frame size, write images instead."
            )
        frame = cv2.cvtColor(overlay(image, label_map, self.alpha, boxes), cv2.COLOR_RGB2BGR)
        self._writer.write(_even(frame))

    def _opened(self, height: int, width: int) -> cv2.VideoWriter:
        with ExitStack() as place:
            beside = place.enter_context(written_beside(self.path))
            size = (width + width % 2, height + height % 2)
            writer = cv2.VideoWriter(str(beside), cv2.VideoWriter.fourcc(*"mp4v"), self.fps, size)
            if not writer.isOpened():
                raise RunError(
                    f"{self.path}: this build of OpenCV cannot write MP4 (codec mp4v) of {size[0]}x{size[1]} pixels; "
                    "install opencv-python-headless with its FFmpeg, or write the overlays as images."
                )
            self._place = place.pop_all()  # from here on the file is taken back or renamed when the block ends
            return writer

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.release()
        self._place.__exit__(kind, error, trace)


def _even(frame: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """The last row and column repeated where the size is odd: MPEG-4 stores colour for two by two pixels."""
    height, width = frame.shape[:2]
    return cv2.copyMakeBorder(frame, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
