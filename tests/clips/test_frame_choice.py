from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vosbench.clips.frame_choice import ClampedTriple, IterativeFrames, UniformGaps
from vosbench.errors import ConfigError

SEEDS = st.integers(0, 2**16)


@given(num_frames=st.integers(5, 60), length=st.integers(2, 5), max_skip=st.integers(1, 25), seed=SEEDS)
def test_iterative_frames_are_distinct_in_time_order_and_never_further_apart_than_max_skip(num_frames, length, max_skip, seed):
    frames = IterativeFrames()(num_frames, length, max_skip, np.random.default_rng(seed))
    gaps = np.diff(frames) * np.sign(frames[-1] - frames[0])
    assert len(frames) == length
    assert 0 <= min(frames) <= max(frames) < num_frames
    assert gaps.min() >= 1
    assert gaps.max() <= max_skip


def test_iterative_frames_use_the_whole_video_when_it_is_as_long_as_the_clip():
    generator = np.random.default_rng(0)
    assert sorted(IterativeFrames()(5, 5, 1, generator)) == [0, 1, 2, 3, 4]


def test_iterative_frames_run_backwards_half_of_the_time():
    generator = np.random.default_rng(0)
    backwards = sum(frames[0] > frames[-1] for frames in (IterativeFrames()(40, 3, 5, generator) for _ in range(1000)))
    assert 440 < backwards < 560


def test_iterative_frames_reach_every_distance_up_to_max_skip():
    generator = np.random.default_rng(0)
    distances = Counter(abs(b - a) for a, b in (IterativeFrames()(200, 2, 5, generator) for _ in range(1000)))
    assert set(distances) == {1, 2, 3, 4, 5}


@given(num_frames=st.integers(3, 40), max_skip=st.integers(1, 12), seed=SEEDS)
def test_fitted_gaps_keep_time_order_inside_the_video(num_frames, max_skip, seed):
    choice = UniformGaps(reverse_probability=0.0, ends="fit")
    gaps = np.diff(choice(num_frames, 3, max_skip, np.random.default_rng(seed)))
    assert gaps.min() >= 1
    assert gaps.max() <= max_skip


@given(num_frames=st.integers(1, 40), max_skip=st.integers(1, 12), seed=SEEDS)
def test_reflected_gaps_stay_inside_the_video_and_within_max_skip(num_frames, max_skip, seed):
    frames = UniformGaps()(num_frames, 5, max_skip, np.random.default_rng(seed))
    assert 0 <= min(frames) <= max(frames) < num_frames
    assert np.abs(np.diff(frames)).max() <= max_skip


def test_a_reference_from_anywhere_need_not_be_near_the_others():
    generator = np.random.default_rng(0)
    draws = [UniformGaps(reference="anywhere")(100, 4, 3, generator) for _ in range(200)]
    assert all(len(frames) == 4 for frames in draws)
    assert max(abs(frames[1] - frames[0]) for frames in draws) > 50


@given(num_frames=st.integers(3, 60), max_skip=st.integers(1, 25), seed=SEEDS)
def test_clamped_triples_are_ordered_and_never_further_apart_than_one_more_than_max_skip(num_frames, max_skip, seed):
    frames = ClampedTriple(reverse_probability=0.0)(num_frames, 3, max_skip, np.random.default_rng(seed))
    gaps = np.diff(frames)
    assert 0 <= frames[0] <= frames[2] < num_frames
    assert gaps.min() >= 0
    assert gaps.max() <= max_skip + 1


def test_clamped_triples_refuse_another_length():
    with pytest.raises(ConfigError, match="length is 5"):
        ClampedTriple()(20, 5, 5, np.random.default_rng(0))
