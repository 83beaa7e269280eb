"""Milliseconds per training clip, sampling and augmentation included, frames held in memory.

    python benchmarks/clips.py

One thread. Reading a data set's files comes on top.
"""

import time
from dataclasses import dataclass, field

import cv2
import numpy as np

from vosbench.clips.blended_clips import MergedClips
from vosbench.clips.frame_choice import IterativeFrames
from vosbench.clips.geometry import Affine, AreaCrop, Flip, ScaledCrop
from vosbench.clips.object_choice import ObjectChoice
from vosbench.clips.photometry import Photometry
from vosbench.clips.source import ClipSource
from vosbench.clips.still_clips import StillClips
from vosbench.clips.thin_plate import ThinPlateWarp
from vosbench.clips.transform import VideoTransform
from vosbench.clips.video_clips import VideoClips
from vosbench.video.sequence import Sequence
from vosbench.video.still import Still

CLIPS = 100


@dataclass
class HeldFrames:
    """Frames in memory."""

    images: np.ndarray
    names: list[str]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, frame_index: int) -> np.ndarray:
        return self.images[frame_index]


@dataclass
class HeldVideo:
    """One video and its frames as stills, all in memory."""

    height: int
    width: int
    name: str = "held"
    protocol: str = "davis"
    annotation_step: int = 1
    categories_seen: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        generator = np.random.default_rng(0)
        self.images = generator.integers(0, 256, (20, self.height, self.width, 3), dtype=np.uint8)
        coarse = generator.integers(0, 4, (20, 6, 8), dtype=np.uint8)
        self.label_maps = [
            cv2.resize(label_map, (self.width, self.height), interpolation=cv2.INTER_NEAREST) for label_map in coarse
        ]

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sequence:
        frames = HeldFrames(self.images, [f"{frame:05d}" for frame in range(20)])
        return Sequence("noise", frames, dict(enumerate(self.label_maps)), (), (self.height, self.width))


@dataclass
class HeldStills:
    """The frames of a held video as stills."""

    video: HeldVideo
    name: str = "held stills"

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> Still:
        return Still(f"{index:05d}", self.video.images[index], self.video.label_maps[index])


def main_recipe(crop: int) -> VideoTransform:
    """STMA spec, 6.3, stage 2."""
    return VideoTransform(
        crop,
        [Flip(0.5), AreaCrop(area=[0.36, 1.0], ratio=[3 / 4, 4 / 3]), Affine(rotation=15.0, shear=10.0, per_frame=True)],
        shared=Photometry(brightness=0.1, contrast=0.03, saturation=0.03, grey_probability=0.05),
        per_frame=Photometry(brightness=0.01, contrast=0.01, saturation=0.01),
    )


def static_recipe(crop: int) -> VideoTransform:
    """STMA spec, 6.3, stage 0."""
    return VideoTransform(
        crop,
        [
            Affine(scale=[0.8, 1.5]),
            Flip(0.5),
            Affine(rotation=20.0, shear=10.0, scale=[0.9, 1.1], per_frame=True),
            ScaledCrop(scale=[1.0, 1.0], per_frame=True),
        ],
        warp=ThinPlateWarp(0.33),
        shared=Photometry(brightness=0.1, contrast=0.05, saturation=0.05, hue=0.05, grey_probability=0.05),
        per_frame=Photometry(brightness=0.1, contrast=0.05, saturation=0.05),
    )


def milliseconds(source: ClipSource) -> float:
    """Mean over `CLIPS` draws."""
    for index in range(5):
        source.draw(0, 1, index, 0.0)
    start = time.perf_counter()
    for index in range(CLIPS):
        source.draw(0, 0, index, 0.0)
    return (time.perf_counter() - start) / CLIPS * 1000


def main() -> None:
    """Small and published sizes of the recipes."""
    cv2.setNumThreads(1)
    for height, width, crop in ((128, 128, 128), (480, 854, 384)):
        video, objects = HeldVideo(height, width), ObjectChoice(3)
        skip: list[list[int | float]] = [[0.0, 5]]
        stills = StillClips(HeldStills(video), 3, objects=objects, transform=static_recipe(crop))
        sources: dict[str, ClipSource] = {
            "video, 5 frames": VideoClips(
                video, 5, frames=IterativeFrames(), max_skip=skip, objects=objects, transform=main_recipe(crop)
            ),
            "still, 3 frames": stills,
            "still, 3 frames, merged": MergedClips(stills, probability=1.0, objects=objects),
        }
        for name, source in sources.items():
            print(f"{name:24} {height}x{width} -> {crop}: {milliseconds(source):6.1f} ms per clip")


if __name__ == "__main__":
    main()
