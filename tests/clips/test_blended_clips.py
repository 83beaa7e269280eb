from dataclasses import dataclass

import numpy as np
import pytest

from vosbench.clips.blended_clips import MergedClips, MixedClips
from vosbench.clips.object_choice import ObjectChoice
from vosbench.errors import ConfigError
from vosbench.video.clip import ClipSample


@dataclass
class Blocks:
    """Clips of one block in the left half; its brightness tells the seed."""

    name: str = "blocks"

    def draw(self, seed, step, index, progress):
        image = np.full((2, 4, 8, 3), seed % 251, dtype=np.uint8)
        label_map = np.zeros((2, 4, 8), dtype=np.uint8)
        label_map[:, :, seed % 2 * 4 : seed % 2 * 4 + 4] = 1  # left for even seeds, right for odd ones
        label_map[:, 0, 0] = 255
        return ClipSample(image, label_map, 1, self.name, ["0", "1"])


def test_sources_are_drawn_in_proportion_to_their_weights():
    mixed = MixedClips([Blocks("davis"), Blocks("youtube")], [1, 10])
    names = [mixed.draw(0, step, 0, 0.0).sequence for step in range(1100)]
    assert 65 < names.count("davis") < 135


def test_a_source_of_weight_nought_is_never_drawn():
    mixed = MixedClips([Blocks("a"), Blocks("b")], [0, 1])
    assert {mixed.draw(0, step, 0, 0.0).sequence for step in range(50)} == {"b"}


@pytest.mark.parametrize("weights", [[1], [0, 0], [1, -1]])
def test_weights_that_do_not_fit_the_sources_are_refused(weights):
    with pytest.raises(ConfigError, match="2 sources with weights"):
        MixedClips([Blocks(), Blocks()], weights)


def merged(probability, seed, **rules):
    return MergedClips(Blocks(), probability=probability, objects=ObjectChoice(5, **rules)).draw(seed, 0, 0, 0.0)


def test_the_second_clip_covers_the_first_with_its_objects_only():
    samples = [merged(1.0, seed) for seed in range(40)]
    two = [sample for sample in samples if sample.num_objects == 2]
    assert 5 < len(two) < 35  # whether the second block lies beside the first or on it is up to its seed
    assert all(set(np.unique(sample.label_map)) <= {0, 1, 2, 255} for sample in samples)
    assert all(len(np.unique(sample.image)) == 2 for sample in two)


def test_an_object_hidden_by_the_paste_is_dropped():
    samples = [merged(1.0, seed, min_area=3) for seed in range(0, 40, 2)]  # 3: what ignored pixels leave uncovered is no object
    hidden = [sample for sample in samples if sample.num_objects == 1]
    assert hidden
    assert all((sample.label_map == 1).sum(axis=(1, 2)).min() >= 15 for sample in hidden)


def test_ignored_pixels_are_not_pasted():
    sample = merged(1.0, 1)  # the first clip's ignored corner stays, or lies under the second block
    assert (sample.label_map == 255).sum() <= 2


def test_with_probability_nought_the_source_is_unchanged():
    sample = merged(0.0, 4)
    plain = Blocks().draw(4, 0, 0, 0.0)
    np.testing.assert_array_equal(sample.image, plain.image)
    np.testing.assert_array_equal(sample.label_map, plain.label_map)
