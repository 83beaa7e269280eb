"""J and F of single frames: against the goldens, against plain loops, and their properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics.drawn import GOLDENS, blobs, diagonal_radius, golden, golden_cases, label_map, slow_scores
from tests.shared import needs_shared
from vosbench.metrics.jf import boundary_accuracy, region_similarity, score_label_maps, tolerance_radius

SIZES = st.sampled_from([(40, 70), (9, 63), (9, 64), (9, 65), (7, 128), (7, 129), (1, 70), (1, 1), (70, 1), (13, 200)])
SEEDS = st.integers(0, 2**16)
RADII = st.sampled_from([1, 2, 3, 5, 9, 70, 1000])


@needs_shared(GOLDENS)
@pytest.mark.parametrize("case", golden_cases(), ids=lambda case: case["name"])
def test_frame_matches_the_golden(case):
    truth, predicted = label_map(case["gt"]) == 1, label_map(case["pred"]) == 1
    void = label_map(case["void"]) > 0 if "void" in case else None

    scores = region_similarity(truth, predicted, void), boundary_accuracy(truth, predicted, void, case["bound_th"])

    assert scores == (case["J"], case["F"])


@needs_shared(GOLDENS)
def test_tolerance_radius_matches_the_golden():
    for case in golden()["radius"]:
        assert tolerance_radius(*case["size"]) == case["radius"]


@settings(max_examples=60)
@given(size=SIZES, first=SEEDS, second=SEEDS, radius=RADII)
def test_scores_equal_plain_loops(size, first, second, radius):
    truth, predicted = blobs(first, *size) > 0, blobs(second, *size) > 0

    scores = region_similarity(truth, predicted), boundary_accuracy(truth, predicted, bound_th=radius)

    assert scores == slow_scores(truth, predicted, radius)


@settings(max_examples=30)
@given(size=SIZES, first=SEEDS, second=SEEDS)
def test_all_objects_of_two_label_maps_in_one_call_equal_plain_loops(size, first, second):
    truth, predicted = blobs(first, *size, labels=3), blobs(second, *size, labels=3)

    j, f = score_label_maps(truth, predicted, [3, 1, 2])

    assert list(zip(j, f, strict=True)) == [
        slow_scores(truth == 3, predicted == 3, diagonal_radius(*size)),
        slow_scores(truth == 1, predicted == 1, diagonal_radius(*size)),
        slow_scores(truth == 2, predicted == 2, diagonal_radius(*size)),
    ]


@given(size=SIZES, seed=SEEDS)
def test_a_mask_against_itself_scores_one(size, seed):
    mask = blobs(seed, *size) > 0

    assert (region_similarity(mask, mask), boundary_accuracy(mask, mask)) == (1.0, 1.0)


@given(size=SIZES, seed=SEEDS)
def test_a_mask_against_its_complement_has_no_overlap(size, seed):
    mask = blobs(seed, *size) > 0

    assert region_similarity(mask, ~mask) == 0.0


@given(size=SIZES, first=SEEDS, second=SEEDS, radius=RADII)
def test_scores_are_symmetric_and_survive_transposing(size, first, second, radius):
    truth, predicted = blobs(first, *size) > 0, blobs(second, *size) > 0

    j, f = region_similarity(truth, predicted), boundary_accuracy(truth, predicted, bound_th=radius)

    assert (region_similarity(predicted, truth), boundary_accuracy(predicted, truth, bound_th=radius)) == (j, f)
    assert (region_similarity(truth.T, predicted.T), boundary_accuracy(truth.T, predicted.T, bound_th=radius)) == (j, f)


@given(size=SIZES, first=SEEDS, second=SEEDS)
def test_f_does_not_fall_when_the_tolerance_grows(size, first, second):
    truth, predicted = blobs(first, *size) > 0, blobs(second, *size) > 0

    scores = [boundary_accuracy(truth, predicted, bound_th=radius) for radius in (1, 2, 4, 8, 400)]

    assert scores == sorted(scores)


def test_f_is_one_when_the_tolerance_covers_the_frame():
    truth, predicted = np.zeros((30, 90), bool), np.zeros((30, 90), bool)
    truth[0, 0], predicted[29, 89], predicted[20, 40] = True, True, True

    assert boundary_accuracy(truth, predicted, bound_th=95) == 1.0


@given(first=SEEDS, second=SEEDS, margin=st.integers(1, 70))
def test_a_frame_of_background_around_both_masks_changes_nothing(first, second, margin):
    truth, predicted = np.zeros((22, 72), bool), np.zeros((22, 72), bool)
    truth[1:-1, 1:-1], predicted[1:-1, 1:-1] = blobs(first, 20, 70) > 0, blobs(second, 20, 70) > 0
    wide_truth, wide_predicted = np.pad(truth, margin), np.pad(predicted, margin)

    assert region_similarity(wide_truth, wide_predicted) == region_similarity(truth, predicted)
    assert boundary_accuracy(wide_truth, wide_predicted, bound_th=3) == boundary_accuracy(truth, predicted, bound_th=3)


@given(size=SIZES, first=SEEDS, second=SEEDS)
def test_void_everywhere_scores_one(size, first, second):
    truth, predicted, void = blobs(first, *size) > 0, blobs(second, *size) > 0, np.ones(size, bool)

    assert (region_similarity(truth, predicted, void), boundary_accuracy(truth, predicted, void)) == (1.0, 1.0)


def test_a_tolerance_that_is_neither_a_share_nor_a_whole_radius_is_refused():
    mask = np.zeros((4, 4), bool)

    with pytest.raises(ValueError, match="must be whole"):
        boundary_accuracy(mask, mask, bound_th=1.5)
    with pytest.raises(ValueError, match="must be > 0"):
        boundary_accuracy(mask, mask, bound_th=0)


def test_masks_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match="never resize"):
        region_similarity(np.zeros((4, 4), bool), np.zeros((4, 5), bool))
