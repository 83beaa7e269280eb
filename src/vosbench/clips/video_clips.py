"""Clips out of videos. Sources: XMem's loader (STMA spec, 6.3), AOT 6.4, CFBI 6.2, LGDK 6.4, QMRA 6."""

import logging
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import UInt8

from vosbench.clips.curriculum import Curriculum
from vosbench.clips.frame_choice import FrameChoice
from vosbench.clips.object_choice import IGNORED, ObjectChoice
from vosbench.clips.source import clip_generator, drawn_seed
from vosbench.clips.transform import Augmentation
from vosbench.datasets.dataset import VideoDataset
from vosbench.datasets.mixture import Mixture
from vosbench.errors import ConfigError, DatasetError
from vosbench.video.clip import ClipSample
from vosbench.video.sequence import Sequence

log = logging.getLogger(__name__)

# A mixture is one too, but it has no single annotation_step, and checking for the attribute would raise its ConfigError.
Videos: TypeAlias = VideoDataset | Any


class VideoClips:
    """A clip source over the annotated frames of a video data set; every video is as likely as every other, and those with fewer
    annotated frames than a clip has are left out.

    `max_skip` is a curriculum in frames of the video; it is divided by the data set's `annotation_step`, because frames are
    chosen among the annotated ones. A draw whose first frame shows no admissible object is repeated in the same video up to
    `redraws` times; the last is then taken as it is, a clip of background only with `num_objects` = 0, as XMem and STCN do.

    Wishes, given up with the last redraw (AOT, CFBI): `min_reference_area` pixels of foreground in the first frame as stored,
    and, with `complete_reference`, no object later that is missing in the first frame.
    """

    def __init__(
        self,
        dataset: Videos,
        length: int,
        *,
        frames: FrameChoice,
        max_skip: list[list[int | float]],
        objects: ObjectChoice,
        transform: Augmentation,
        redraws: int = 5,
        min_reference_area: int = 0,
        complete_reference: bool = False,
    ) -> None:
        self.dataset, self.length = dataset, length
        self.frames, self.max_skip, self.objects, self.transform = frames, Curriculum(max_skip), objects, transform
        self.redraws = redraws
        self.min_reference_area, self.complete_reference = min_reference_area, complete_reference
        self.reported = False
        check_lengths(dataset, length)

    def draw(self, seed: int, step: int, index: int, progress: float) -> ClipSample:
        """A random clip of a random video."""
        generator = clip_generator("video", seed, step, index)
        sequence, annotation_step = self.video(generator)
        annotated = sorted(sequence.label_maps)
        max_skip = max(1, self.max_skip.at(progress) // annotation_step)
        for attempt in range(self.redraws + 1):
            chosen = [annotated[i] for i in self.frames(len(annotated), self.length, max_skip, generator)]
            label_maps = [sequence.label_maps[frame] for frame in chosen]
            if attempt < self.redraws and not self.welcome(label_maps):
                continue
            sample = self.augmented(sequence, chosen, label_maps, generator)
            if sample.num_objects:
                break
        return sample

    def video(self, generator: np.random.Generator) -> tuple[Sequence, int]:
        """A random video among those that are long enough, and the distance between its annotated frames."""
        while True:  # ends: the constructor has found one
            index = int(generator.integers(len(self.dataset)))
            sequence = self.dataset[index]
            count = len(sequence.label_maps)
            if count >= self.length:
                break
            if not self.reported:
                left_out = "%s: videos with fewer than %d annotated frames are left out; '%s', which has %d, is the first met"
                log.info(left_out, self.dataset.name, self.length, sequence.name, count)
                self.reported = True
        if isinstance(self.dataset, Mixture):
            return sequence, self.dataset.annotation_step_of(index)
        return sequence, self.dataset.annotation_step

    def welcome(self, label_maps: list[UInt8[np.ndarray, "_ _"]]) -> bool:
        """Whether the first of the chosen label maps is the reference one wishes for."""
        area = np.bincount(label_maps[0].ravel(), minlength=256)
        if area[1:IGNORED].sum() < self.min_reference_area:
            return False
        return not self.complete_reference or all(
            area[object_id] or object_id in (0, IGNORED) for label_map in label_maps[1:] for object_id in np.unique(label_map)
        )

    def augmented(
        self, sequence: Sequence, chosen: list[int], label_maps: list[UInt8[np.ndarray, "_ _"]], generator: np.random.Generator
    ) -> ClipSample:
        """The sample made of the chosen frames."""
        images = [sequence.frames[frame] for frame in chosen]
        names = [sequence.frames.names[frame] for frame in chosen]
        check_sizes(f"{self.dataset.name}, sequence '{sequence.name}'", names, images, label_maps)
        image, label_map = self.transform(np.stack(images), np.stack(label_maps), drawn_seed(generator))
        label_map, num_objects = self.objects(label_map, generator)
        return ClipSample(image, label_map, num_objects, sequence.name, names)


def check_lengths(dataset: Videos, length: int) -> None:
    """`ConfigError` unless some video is long enough. It looks no further than the first: opening all may take minutes."""
    longest = 0
    for index in range(len(dataset)):
        longest = max(longest, len(dataset[index].label_maps))
        if longest >= length:
            return
    raise ConfigError(
        f"no video of {dataset.name} has the {length} annotated frames of a clip, the longest of {len(dataset)} has {longest}; "
        "train on shorter clips or on another data set."
    )


def check_sizes(
    where: str, names: list[str], images: list[UInt8[np.ndarray, "_ _ 3"]], label_maps: list[UInt8[np.ndarray, "_ _"]]
) -> None:
    """`DatasetError` unless all frames of a clip and their label maps have one size."""
    height, width = images[0].shape[:2]
    for name, image, label_map in zip(names, images, label_maps, strict=True):
        for noun, found in (("image", image.shape[:2]), ("label map", label_map.shape)):
            if found != (height, width):
                raise DatasetError(
                    f"{where}, frame '{name}': the {noun} is {found[0]}x{found[1]} but frame '{names[0]}' is {height}x{width}; "
                    "all frames and label maps of a sequence have one size, so use one resolution folder for both."
                )
