"""Rule 1 of the post-processing: an object's parts that lie too far from where it was last are removed."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.inference.post_cases import FAR, saying, square, union
from vosbench.inference.post.far_components import FarComponents
from vosbench.inference.post.processing import PostFrame, PostRules
from vosbench.inference.session import Session
from vosbench.layers.sizing import FullSizing

IMAGE = np.zeros((60, 80, 3), np.uint8)
DIAGONAL = 100.0  # of 60 x 80
RULES = PostRules(FAR, None)


def rule(**changes) -> FarComponents:
    return FarComponents(**{"gate": 0.08, "growth": 0.02, "limit": 0.4, "keep": "all_near", "min_area": 0} | changes)


def label_maps(
    method, prompts: dict[int, dict[int, np.ndarray]], frames: int, rules: PostRules | None = RULES
) -> list[np.ndarray]:
    session = Session(method, post=rules)
    return [session.label_map(session.step(IMAGE, prompts.get(t))) for t in range(frames)]


@pytest.mark.parametrize(("frames_ago", "share"), [(1, 0.08), (2, 0.10), (10, 0.26), (17, 0.40), (500, 0.40)])
def test_the_gate_opens_while_the_object_is_not_seen(frames_ago, share):
    assert FAR.reach(frames_ago) == pytest.approx(share)


def test_what_lies_beyond_the_gate_is_dropped_to_the_pixel():
    last = square(10, 10, 10)  # up to column 19
    near, far = square(10, 27, 5), square(40, 10, 5)  # distances 8 and 21

    assert not FAR.dropped(union(last, near), last, 1, DIAGONAL).any()
    assert np.array_equal(FAR.dropped(union(last, near, far), last, 1, DIAGONAL), far)
    assert not FAR.dropped(union(last, far), last, 8, DIAGONAL).any()
    assert np.array_equal(FAR.dropped(square(10, 28, 5), last, 1, DIAGONAL), square(10, 28, 5))


def test_pixels_that_touch_by_a_corner_are_one_component():
    last = square(10, 10, 10)  # up to column 19
    near, touching = square(10, 22, 6), square(16, 28, 5)  # distances 3 and 9
    assert not FAR.dropped(union(near, touching), last, 1, DIAGONAL).any()
    assert np.array_equal(FAR.dropped(touching, last, 1, DIAGONAL), touching)


def masks_of(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A mask of a few squares, and another that is not empty."""
    random = np.random.default_rng(seed)
    drawn = [square(*random.integers(0, (50, 70)), random.integers(1, 12)) for _ in range(6)]
    return union(*drawn[:4]), union(*drawn[3 if seed % 2 else 4 :])


@given(seed=st.integers(0, 2**16), frames_ago=st.integers(1, 20), keep=st.sampled_from(["all_near", "nearest"]))
def test_the_rule_only_takes_away_and_a_second_time_nothing(seed, frames_ago, keep):
    mask, last = masks_of(seed)
    dropped = rule(keep=keep).dropped(mask, last, frames_ago, DIAGONAL)
    assert not (dropped & ~mask).any()
    if (mask & ~dropped).any():
        assert not rule(keep=keep).dropped(mask & ~dropped, last, frames_ago, DIAGONAL).any()


@given(seed=st.integers(0, 2**16))
def test_distances_are_those_of_the_nearest_pixels(seed):
    """Against all pairs of pixels, for each component that a flood of the eight neighbours finds."""
    mask, last = masks_of(seed)
    dropped = FAR.dropped(mask, last, 1, DIAGONAL)
    places, left = np.argwhere(last), {(int(y), int(x)) for y, x in np.argwhere(mask)}
    while left:
        component, edge = [], [left.pop()]
        while edge:
            y, x = edge.pop()
            component.append((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            edge += near
        pairs = np.array(component)[:, None] - places
        far = np.sqrt((pairs**2).sum(2)).min() > 8
        assert all(dropped[y, x] == far for y, x in component)


def test_the_nearest_component_alone_may_be_kept():
    last = square(10, 10, 10)
    near, nearer, far = square(10, 27, 5), square(25, 10, 5), square(50, 70, 5)

    dropped = rule(keep="nearest").dropped(union(near, nearer, far), last, 1, DIAGONAL)

    assert np.array_equal(dropped, union(near, far))


def test_of_two_components_that_overlap_the_last_mask_the_larger_is_the_nearest():
    last = square(10, 10, 20)
    small, large = square(10, 10, 3), square(20, 20, 8)
    assert np.array_equal(rule(keep="nearest").dropped(union(small, large), last, 1, DIAGONAL), small)


def test_crumbs_can_be_removed_wherever_they_lie():
    last, crumb = square(10, 10, 10), square(10, 22, 2)
    assert np.array_equal(rule(min_area=5).dropped(union(last, crumb), last, 1, DIAGONAL), crumb)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"keep": "all"}, "post.components.keep must be one of all_near, nearest, got 'all'"),
        ({"gate": -0.1}, "post.components.gate must be at least 0"),
        ({"min_area": -1}, "post.components.min_area must be at least 0"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        rule(**change)


def test_a_far_component_reaches_neither_the_answer_nor_the_memory():
    given_mask, far = square(10, 10, 10), square(40, 60, 10)
    method = saying([{1: union(given_mask, far)}, {1: given_mask}])

    shown = label_maps(method, {0: {7: given_mask}}, 3)

    assert np.array_equal(shown[1] == 7, given_mask)
    fed_back = method.remembered[1].label_map()[0].numpy()
    assert np.array_equal(fed_back == 1, given_mask)
    torch.testing.assert_close(method.remembered[1].prob.sum(1), torch.ones(1, 60, 80))


def test_what_an_object_loses_goes_to_nobody_else():
    first, second = square(10, 10, 10), square(40, 60, 10)
    method = saying([{1: union(first, second), 2: second}])
    method.script[1][2][second] = 0.3  # the second choice there
    method.script[1][0][second] = 0.1

    shown = label_maps(method, {0: {1: first, 2: square(40, 20, 10)}}, 2)

    assert np.array_equal(shown[1] == 1, first)
    assert not (shown[1] == 2).any()


def test_an_object_that_was_away_may_come_back_far_off():
    """25 of 100 pixels: 0.08 + 0.02 (10 - 1) is the first gate that is wide enough."""
    given_mask, back = square(10, 10, 10), square(10, 44, 10)
    method = saying([{1: back} for _ in range(12)])

    seen = [bool((shown == 1).any()) for shown in label_maps(method, {0: {1: given_mask}}, 12)]

    assert seen == [True, *[False] * 9, True, True]


def test_a_given_mask_is_left_alone_and_counts_as_the_last_one():
    first, second = square(10, 10, 10), square(40, 60, 10)
    method = saying([{1: second}, {1: second}, {1: second}])

    shown = label_maps(method, {0: {1: first}, 2: {1: second}}, 4)

    assert not shown[1].any()
    assert np.array_equal(shown[2] == 1, second)
    assert np.array_equal(shown[3] == 1, second)


def test_what_was_predicted_of_an_object_is_left_to_the_method_where_its_mask_is_given():
    """A method may keep some of it beside the given mask."""
    processor = RULES.for_video(saying([{1: square(0, 0, 1)}]), FullSizing((60, 80), (60, 80), (60, 80)))
    image, far = torch.from_numpy(IMAGE), saying([{1: square(40, 60, 10)}]).script[1][None]
    processor.remember(PostFrame(image, 0, [1], {0}, {0}), saying([{1: square(10, 10, 10)}]).script[1][None])

    assert torch.equal(processor.revise(PostFrame(image, 1, [1], {0}, {0}), far), far)
    assert not processor.revise(PostFrame(image, 1, [1], set(), set()), far).argmax(1).any()


def test_a_later_object_is_judged_by_its_own_last_mask():
    first, second = square(10, 10, 10), square(40, 60, 10)
    method = saying([{1: first}, {1: first}, {1: first, 2: second}])

    shown = label_maps(method, {0: {5: first}, 2: {3: second}}, 4)

    assert np.array_equal(shown[3] == 5, first)
    assert np.array_equal(shown[3] == 3, second)
