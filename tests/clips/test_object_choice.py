import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vosbench.clips.object_choice import ObjectChoice
from vosbench.errors import ConfigError


def clip(*areas: dict[int, int]) -> np.ndarray:
    """Label maps of 64 x 64 with the given number of pixels per id, one dict per frame."""
    label_maps = np.zeros((len(areas), 64 * 64), dtype=np.uint8)
    for label_map, area in zip(label_maps, areas, strict=True):
        label_map[: sum(area.values())] = np.repeat(list(area), list(area.values()))
    return label_maps.reshape(-1, 64, 64)


def test_kept_objects_are_renumbered_from_one_and_the_others_become_background():
    label_maps = clip({7: 50, 90: 60, 200: 70}, {7: 10, 90: 20, 200: 30})
    numbered, count = ObjectChoice(2)(label_maps, np.random.default_rng(0))
    kept = {int(label_maps[0][numbered[0] == number][0]) for number in (1, 2)}
    assert count == 2
    assert kept < {7, 90, 200}
    assert set(np.unique(numbered)) == {0, 1, 2}


@given(seed=st.integers(0, 2**16), max_objects=st.integers(1, 4))
def test_a_kept_object_has_exactly_its_own_pixels_in_every_frame(seed, max_objects):
    label_maps = np.random.default_rng(seed).integers(0, 4, (3, 6, 6), dtype=np.uint8)
    numbered, count = ObjectChoice(max_objects)(label_maps, np.random.default_rng(seed))
    for number in range(1, count + 1):
        object_id = label_maps[0][numbered[0] == number][0]
        np.testing.assert_array_equal(numbered == number, label_maps == object_id)


def test_ignored_pixels_stay_ignored_and_are_no_object():
    numbered, count = ObjectChoice(3)(clip({255: 40, 3: 10}), np.random.default_rng(0))
    assert count == 1
    assert (numbered == 255).sum() == 40
    assert (numbered == 1).sum() == 10


def test_an_object_that_enters_later_is_background():
    numbered, count = ObjectChoice(3)(clip({1: 10}, {1: 10, 2: 30}), np.random.default_rng(0))
    assert count == 1
    assert (numbered[1] > 0).sum() == 10


def test_every_object_is_chosen_about_as_often_and_in_any_order():
    generator = np.random.default_rng(0)
    label_maps = clip({1: 10, 2: 20, 3: 30})
    first = [int((ObjectChoice(1)(label_maps, generator)[0] == 1).sum()) for _ in range(600)]
    assert all(150 < first.count(area) < 250 for area in (10, 20, 30))


@pytest.mark.parametrize(
    ("areas", "eligible"),
    [
        (({1: 100}, {1: 100}, {1: 100}), []),  # not more than 100 pixels
        (({1: 101}, {1: 101}, {1: 101}), [1]),  # small, and stays small
        (({1: 500}, {1: 399}, {1: 0}), [1]),
        (({1: 500}, {1: 0}, {1: 400}), []),  # small there but not in the frame after the next
        (({1: 901}, {1: 2000}, {1: 2000}), [1]),  # large from the start
        (({1: 500}, {1: 0}, {1: 0}, {1: 3000}), [1]),  # the fourth frame does not count
    ],
)
def test_slivers_of_large_objects_are_no_reference(areas, eligible):
    choice = ObjectChoice(3, min_area=100, small_area=900, small_area_later=400)
    assert choice.eligible(clip(*areas)).tolist() == eligible


def test_without_objects_the_clip_is_background():
    numbered, count = ObjectChoice(3)(clip({}, {2: 9}), np.random.default_rng(0))
    assert count == 0
    assert not numbered.any()


@pytest.mark.parametrize("max_objects", [0, 255])
def test_a_number_of_objects_that_no_label_map_holds_is_refused(max_objects):
    with pytest.raises(ConfigError, match=f"max_objects is {max_objects}"):
        ObjectChoice(max_objects)
