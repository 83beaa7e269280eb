"""Clips out of videos. Sources: XMem's loader (STMA spec, 6.3), AOT 6.4, CFBI 6.2, LGDK 6.4, QMRA 6."""

import logging

import numpy as np
from jaxtyping import UInt8

from vosbench.clips.curriculum import Curriculum
from vosbench.clips.frame_choice import FrameChoice
from vosbench.clips.object_choice import IGNORED, ObjectChoice
from vosbench.clips.source import clip_generator, drawn_seed
from vosbench.clips.transform import VideoTransform
from vosbench.datasets.dataset import VideoDataset
from vosbench.errors import ConfigError, DatasetError
from vosbench.video.clip import ClipSample
from vosbench.video.sequence import Sequence

log = logging.getLogger(__name__)


class VideoClips:
    """A clip source over the annotated frames of a video data set; every video is as likely as every other.

    `max_skip` is a curriculum in frames of the video; it is divided by the data set's `annotation_step`, because frames are
    chosen among the annotated ones. A draw whose first frame shows no admissible object is repeated in the same video up to
    `redraws` times; the last is then taken as it is, a clip of background only with `num_objects` = 0, as XMem and STCN do.

    Wishes, given up with the last redraw (AOT, CFBI): `min_reference_area` pixels of foreground in the first frame as stored,
    and, with `complete_reference`, no object later that is missing in the first frame.
    """

    def __init__(
        self,
        dataset: VideoDataset,
        length: int,
        *,
        frames: FrameChoice,
        max_skip: list[list[int | float]],
        objects: ObjectChoice,
        transform: VideoTransform,
        redraws: int = 5,
        min_reference_area: int = 0,
        complete_reference: bool = False,
    ) -> None:
        self.dataset, self.length = dataset, length
        self.frames, self.max_skip, self.objects, self.transform = frames, Curriculum(max_skip), objects, transform
        self.redraws = redraws
        self.min_reference_area, self.complete_reference = min_reference_area, complete_reference
        self.videos = long_enough(dataset, length)

    def draw(self, seed: int, step: int, index: int, progress: float) -> ClipSample:
        """A random clip of a random video."""
        generator = clip_generator("video", seed, step, index)
        sequence = self.dataset[self.videos[generator.integers(len(self.videos))]]
        annotated = sorted(sequence.label_maps)
        max_skip = max(1, self.max_skip.at(progress) // self.dataset.annotation_step)
        for attempt in range(self.redraws + 1):
            chosen = [annotated[i] for i in self.frames(len(annotated), self.length, max_skip, generator)]
            label_maps = [sequence.label_maps[frame] for frame in chosen]
            if attempt < self.redraws and not self.welcome(label_maps):
                continue
            sample = self.augmented(sequence, chosen, label_maps, generator)
            if sample.num_objects:
                break
        return sample

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


def long_enough(dataset: VideoDataset, length: int) -> list[int]:
    """Indices of the videos with at least `length` annotated frames; says once how many others are left out."""
    counts = [len(dataset[index].label_maps) for index in range(len(dataset))]
    videos = [index for index, count in enumerate(counts) if count >= length]
    if not videos:
        raise ConfigError(
            f"no video of {dataset.name} has the {length} annotated frames of a clip, the longest of {len(counts)} has "
            f"{max(counts, default=0)}; train on shorter clips or on another data set."
        )
    if len(videos) < len(counts):
        short = len(counts) - len(videos)
        log.info("%s: %d of %d videos are left out, shorter than %d frames", dataset.name, short, len(counts), length)
    return videos


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
