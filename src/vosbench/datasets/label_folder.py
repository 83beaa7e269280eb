"""The label maps of one sequence as a mapping from frame index, decoded when asked for."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from vosbench.errors import DatasetError
from vosbench.video.frames import FolderFrames, image_files
from vosbench.video.label_map import read_label_map
from vosbench.video.video_file import VideoFrames

PNG = frozenset({".png"})


class LabelFolder(Mapping[int, UInt8[np.ndarray, "H W"]]):
    """The PNG files of a folder, matched to frames by their stems. Frames without a file have no label map."""

    def __init__(self, folder: Path, frames: FolderFrames | VideoFrames, single_object: bool = False) -> None:
        self.folder, self.frames, self.single_object = folder, frames, single_object
        if not folder.is_dir():
            raise DatasetError(
                f"{folder}: the folder with the masks of sequence '{frames.sequence}' is missing; check data.root."
            )
        index = {name: frame_index for frame_index, name in enumerate(frames.names)}
        self.paths: dict[int, Path] = {}
        for path in image_files(folder, PNG):
            if path.stem not in index:
                raise DatasetError(
                    f"{path}: sequence '{frames.sequence}' has no frame '{path.stem}' (its {len(index)} frames are "
                    f"'{frames.names[0]}' to '{frames.names[-1]}'); a mask is named like its image: rename or remove it."
                )
            self.paths[index[path.stem]] = path
        self.paths = dict(sorted(self.paths.items()))
        if not self.paths:
            raise DatasetError(f"{folder}: holds no masks of sequence '{frames.sequence}', expected *.png named like the images.")

    def __getitem__(self, frame_index: int) -> UInt8[np.ndarray, "H W"]:
        path = self.paths[frame_index]
        label_map = read_label_map(path, self.single_object)
        if label_map.shape != self.frames.size:
            mask_size, image_size = "x".join(map(str, label_map.shape)), "x".join(map(str, self.frames.size))
            raise DatasetError(
                f"{path}: mask is {mask_size} but the image of sequence '{self.frames.sequence}', frame '{path.stem}' is "
                f"{image_size}. Masks and images of one resolution folder belong together: check data.resolution."
            )
        return label_map

    def __iter__(self) -> Iterator[int]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __contains__(self, frame_index: object) -> bool:
        return frame_index in self.paths  # Mapping's own would decode the file

    def name(self, frame_index: int) -> str:
        """What a message calls the label map: its file."""
        return str(self.paths[frame_index])
