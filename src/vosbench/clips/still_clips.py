"""Pseudo-video out of annotated images: T copies of one image, each deformed on its own (STMA spec 6.3, AOT 6.4, QMRA 6)."""

import numpy as np

from vosbench.clips.object_choice import ObjectChoice
from vosbench.clips.source import clip_generator, drawn_seed
from vosbench.clips.transform import Augmentation
from vosbench.clips.video_clips import check_sizes
from vosbench.datasets.dataset import StillDataset
from vosbench.errors import ConfigError
from vosbench.video.clip import ClipSample


class StillClips:
    """A clip source over stills; every image is as likely as every other.

    What moves is the transform's: its `per_frame` steps and its warp. A draw whose first frame lost every admissible object to
    the crop is repeated with the same image up to `redraws` times; the last is then taken as it is, with `num_objects` = 0.
    """

    def __init__(
        self, dataset: StillDataset, length: int, *, objects: ObjectChoice, transform: Augmentation, redraws: int = 5
    ) -> None:
        if len(dataset) == 0:
            raise ConfigError(f"{dataset.name} holds no images, so there are no clips to draw; check where the data set lies.")
        self.dataset, self.length = dataset, length
        self.objects, self.transform, self.redraws = objects, transform, redraws

    def draw(self, seed: int, step: int, index: int, progress: float) -> ClipSample:
        """A pseudo-video of a random image."""
        generator = clip_generator("still", seed, step, index)
        still = self.dataset[int(generator.integers(len(self.dataset)))]
        check_sizes(self.dataset.name, [still.name], [still.image], [still.label_map])
        frames = np.broadcast_to(still.image, (self.length, *still.image.shape))  # no copies: images may be large
        label_maps = np.broadcast_to(still.label_map, (self.length, *still.label_map.shape))
        for _ in range(self.redraws + 1):
            image, label_map = self.transform(frames, label_maps, drawn_seed(generator))
            label_map, num_objects = self.objects(label_map, generator)
            if num_objects:
                break
        return ClipSample(image, label_map, num_objects, still.name, [still.name] * self.length)
