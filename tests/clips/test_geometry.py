import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vosbench.clips.geometry import Affine, AreaCrop, Flip, ScaledCrop, frame_matrices

SEEDS = st.integers(0, 2**16)


def moved(matrix: np.ndarray, x: float, y: float) -> list[float]:
    return (matrix @ [x, y, 1.0])[:2].tolist()


def test_a_flip_exchanges_the_left_and_the_right_edge():
    matrix = Flip(1.0).matrix((40, 60), 32, np.random.default_rng(0))
    assert moved(matrix, 0.0, 7.0) == [60.0, 7.0]


@given(seed=SEEDS)
def test_an_affine_step_turns_about_the_centre_and_scales_areas_by_the_square_of_its_scale(seed):
    step = Affine(rotation=20.0, shear=10.0, scale=[0.9, 1.1])
    matrix = step.matrix((40, 60), 32, np.random.default_rng(seed))
    assert moved(matrix, 30.0, 20.0) == pytest.approx([30.0, 20.0])
    assert 0.9**2 <= np.linalg.det(matrix) <= 1.1**2  # rotation and shear keep areas


def test_a_pure_rotation_stays_within_its_degrees_and_uses_them():
    generator = np.random.default_rng(0)
    matrices = [Affine(rotation=15.0).matrix((40, 40), 32, generator) for _ in range(500)]
    degrees = [np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])) for matrix in matrices]
    assert -15 <= min(degrees) < -14
    assert 14 < max(degrees) <= 15


@given(seed=SEEDS, height=st.integers(30, 100), width=st.integers(30, 100))
def test_an_area_crop_lies_inside_and_has_the_area_and_aspect_asked_for(seed, height, width):
    crop = AreaCrop(area=[0.36, 0.5], ratio=[3 / 4, 4 / 3])
    left, top, w, h = crop.window((height, width), np.random.default_rng(seed))
    assert 0 <= left <= left + w <= width + 1e-9
    assert 0 <= top <= top + h <= height + 1e-9
    assert 3 / 4 - 1e-9 <= w / h <= 4 / 3 + 1e-9


def test_the_corners_of_the_window_become_the_corners_of_the_crop():
    step = AreaCrop(area=[0.36, 1.0], ratio=[0.75, 1.333])
    left, top, w, h = step.window((50, 70), np.random.default_rng(5))
    matrix = step.matrix((50, 70), 96, np.random.default_rng(5))
    assert moved(matrix, left, top) == pytest.approx([0.0, 0.0], abs=1e-9)
    assert moved(matrix, left + w, top + h) == pytest.approx([96.0, 96.0])


def test_a_window_that_cannot_fit_becomes_the_largest_centred_one():
    assert AreaCrop(area=[1.0, 1.0], ratio=[1.0, 1.0]).window((40, 100), np.random.default_rng(0)) == (30.0, 0.0, 40.0, 40.0)


@given(seed=SEEDS)
def test_a_scaled_crop_of_a_large_canvas_holds_no_fill(seed):
    matrix = ScaledCrop(scale=[1.0, 1.5]).matrix((40, 60), 32, np.random.default_rng(seed))
    corners = np.linalg.inv(matrix) @ [[0.0, 32.0], [0.0, 32.0], [1.0, 1.0]]
    assert corners.min() >= -1e-9
    assert corners[0].max() <= 60 + 1e-9
    assert corners[1].max() <= 40 + 1e-9


@given(seed=SEEDS)
def test_a_canvas_smaller_than_the_crop_lies_wholly_inside_it(seed):
    matrix = ScaledCrop(scale=[0.5, 0.5]).matrix((40, 60), 32, np.random.default_rng(seed))
    corners = matrix @ [[0.0, 60.0], [0.0, 40.0], [1.0, 1.0]]  # 24 x 16 pixels of the crop
    assert corners[:2].min() >= -1e-9
    assert corners[:2].max() <= 32 + 1e-9


def test_shared_steps_are_equal_in_all_frames_and_per_frame_steps_differ():
    shared, own = Flip(0.5), Affine(rotation=10.0, per_frame=True)
    crop = AreaCrop(area=[0.36, 1.0], ratio=[1.0, 1.0])
    same = frame_matrices([shared, crop], (40, 60), 32, 3, np.random.default_rng(0))
    different = frame_matrices([shared, crop, own], (40, 60), 32, 3, np.random.default_rng(0))
    assert np.ptp(same, axis=0).max() == 0
    assert np.ptp(different, axis=0).max() > 0
    assert len(np.unique(different.reshape(3, -1), axis=0)) == 3


def test_steps_act_in_their_order_on_the_canvas_they_leave():
    crop = AreaCrop(area=[1.0, 1.0], ratio=[1.0, 1.0])
    matrices = frame_matrices([crop, Flip(1.0)], (40, 40), 20, 1, np.random.default_rng(0))
    assert moved(matrices[0], 0.0, 40.0) == pytest.approx([20.0, 20.0])
