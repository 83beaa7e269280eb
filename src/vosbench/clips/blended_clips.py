"""Clip sources made of other sources: a mixture of several, and two clips pasted into one."""

import numpy as np

from vosbench.clips.object_choice import IGNORED, ObjectChoice
from vosbench.clips.source import ClipSource, clip_generator, derived_seed
from vosbench.errors import ConfigError
from vosbench.video.clip import ClipSample


class MixedClips:
    """Draws each clip from one of several sources, with probabilities in proportion to `weights`.

    DAVIS five times beside YouTube-VOS is [300, 3471], videos times repeats.
    """

    def __init__(self, sources: list[ClipSource], weights: list[int | float]) -> None:
        if not sources or len(sources) != len(weights) or any(weight < 0 for weight in weights) or sum(weights) <= 0:
            raise ConfigError(
                f"there are {len(sources)} sources with weights {weights}; give every source a weight, not all of them 0."
            )
        self.sources = sources
        self.shares = np.array(weights, dtype=np.float64) / sum(weights)

    def draw(self, seed: int, step: int, index: int, progress: float) -> ClipSample:
        """A clip of one of the sources."""
        choice = clip_generator("mixed", seed, step, index).choice(len(self.sources), p=self.shares)
        return self.sources[choice].draw(seed, step, index, progress)


class MergedClips:
    """With a probability, pastes the objects of a second clip over the first, image and labels. Source: AOT spec, 6.4.

    The objects of the result are chosen anew by `objects`, so one that the paste hides is dropped.
    """

    def __init__(self, source: ClipSource, *, probability: float, objects: ObjectChoice) -> None:
        self.source, self.probability, self.objects = source, probability, objects

    def draw(self, seed: int, step: int, index: int, progress: float) -> ClipSample:
        """A clip of the source, or two of them merged."""
        generator = clip_generator("merged", seed, step, index)
        below = self.source.draw(seed, step, index, progress)
        if generator.random() >= self.probability:
            return below
        above = self.source.draw(derived_seed("pasted clip", seed), step, index, progress)
        if below.num_objects + above.num_objects >= IGNORED:
            raise ConfigError(
                f"two merged clips hold {below.num_objects} + {above.num_objects} objects but a label map holds 254; "
                "lower max_objects of the source that is merged."
            )
        pasted = (above.label_map > 0) & (above.label_map != IGNORED)
        image = np.where(pasted[..., None], above.image, below.image)
        label_map = np.where(pasted, above.label_map + np.uint8(below.num_objects), below.label_map)
        label_map, num_objects = self.objects(label_map, generator)
        return ClipSample(image, label_map, num_objects, f"{below.sequence}+{above.sequence}", below.frame_names)
