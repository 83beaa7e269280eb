"""Boxes and box maps: the rules of QMRA's specification, section 3.9, and the numpy form of the same."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vosbench.methods.qmra.box_map import boxes_of_maps, clipped, rasterised, tight_boxes
from vosbench.video.prompt import box_to_mask

SIZE = (9, 13)
NOTHING = [torch.nan] * 4


@st.composite
def whole_boxes(draw):
    x0, y0 = draw(st.integers(0, SIZE[1] - 1)), draw(st.integers(0, SIZE[0] - 1))
    x1, y1 = draw(st.integers(x0 + 1, SIZE[1])), draw(st.integers(y0 + 1, SIZE[0]))
    return torch.tensor([[x0, y0, x1, y1]], dtype=torch.float32)


@st.composite
def any_boxes(draw):
    quarters = st.integers(-20, 80).map(lambda number: number / 4)
    x0, y0 = draw(quarters), draw(quarters)
    return (x0, y0, x0 + draw(st.integers(1, 40)) / 4, y0 + draw(st.integers(1, 40)) / 4)


def maps(*planes: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(planes)).float()[:, None]


def plane(*cells: tuple[slice, slice, float]) -> np.ndarray:
    made = np.zeros(SIZE, np.float32)
    for rows, columns, value in cells:
        made[rows, columns] = value
    return made


@given(box=whole_boxes())
def test_the_tight_box_of_a_filled_box_is_the_box(box):
    assert torch.equal(tight_boxes(rasterised(box, SIZE)[:, 0]), box)


@given(box=whole_boxes())
def test_a_box_map_is_its_own_rectangle(box):
    made = rasterised(box, SIZE)
    found, seen = boxes_of_maps(made, 0.5, "largest")
    assert seen == [True]
    assert torch.equal(rasterised(found, SIZE), made)


@given(box=any_boxes())
def test_a_box_fills_the_pixels_that_the_platform_fills(box):
    x0, y0, x1, y1 = box
    inside = x0 < SIZE[1] and y0 < SIZE[0] and x1 > 0 and y1 > 0
    # given the part inside the frame; of that the platform's own rule takes the middle where no centre is covered
    cut = (max(x0, 0.0), max(y0, 0.0), min(x1, float(SIZE[1])), min(y1, float(SIZE[0])))
    expected = box_to_mask(cut, *SIZE) if inside else np.zeros(SIZE, bool)
    assert np.array_equal(rasterised(torch.tensor([box]), SIZE)[0, 0].numpy() > 0, expected)


def test_a_pixel_is_inside_by_its_centre():
    made = rasterised(torch.tensor([[1.5, 2.51, 3.5, 4.5]]), SIZE)[0, 0]
    assert made.nonzero().tolist() == [[3, 1], [3, 2]]


def test_a_box_between_the_centres_sets_the_pixel_that_holds_its_own():
    made = rasterised(torch.tensor([[3.6, 5.7, 4.4, 5.9], [12.6, 0.0, 13.0, 0.3]]), SIZE)[:, 0]
    assert made[0].nonzero().tolist() == [[5, 4]]
    assert made[1].nonzero().tolist() == [[0, 12]]


def test_absent_flat_and_outlying_boxes_are_all_zero():
    boxes = torch.tensor([NOTHING, [2.0, 2.0, 2.0, 5.0], [20.0, 1.0, 25.0, 4.0]])
    assert rasterised(boxes, SIZE).abs().max() == 0


def test_the_tight_box_of_one_pixel_is_one_by_one_and_of_none_is_absent():
    planes = maps(plane((slice(4, 5), slice(7, 8), 1.0)), plane())[:, 0]
    boxes = tight_boxes(planes)
    assert boxes[0].tolist() == [7, 4, 8, 5]
    assert boxes[1].isnan().all()


def test_of_two_blobs_the_larger_gives_the_box():
    prob = maps(plane((slice(0, 2), slice(0, 3), 0.9), (slice(5, 8), slice(6, 9), 0.6)))
    assert boxes_of_maps(prob, 0.5, "largest")[0].tolist() == [[6, 5, 9, 8]]
    assert boxes_of_maps(prob, 0.5, "all")[0].tolist() == [[0, 0, 9, 8]]


def test_of_equal_blobs_the_surer_gives_the_box_and_of_equally_sure_ones_the_first():
    first, second = (slice(1, 3), slice(8, 10)), (slice(5, 7), slice(1, 3))
    surer, alike = plane((*first, 0.6), (*second, 0.75)), plane((*first, 0.75), (*second, 0.75))
    assert boxes_of_maps(maps(surer, alike), 0.5, "largest")[0].tolist() == [[1, 5, 3, 7], [8, 1, 10, 3]]


def test_pixels_that_touch_at_a_corner_are_one_blob():
    prob = maps(plane((slice(0, 1), slice(0, 1), 1.0), (slice(1, 3), slice(1, 3), 1.0), (slice(5, 7), slice(5, 7), 1.0)))
    assert boxes_of_maps(prob, 0.5, "largest")[0].tolist() == [[0, 0, 3, 3]]


def test_the_threshold_belongs_to_the_box():
    prob = maps(plane((slice(2, 4), slice(3, 6), 0.5)), plane((slice(2, 4), slice(3, 6), 0.499)))
    boxes, seen = boxes_of_maps(prob, 0.5, "largest")
    assert seen == [True, False]
    assert boxes[0].tolist() == [3, 2, 6, 4]
    assert boxes[1].isnan().all()
    assert rasterised(boxes, SIZE)[1].abs().max() == 0


def test_padded_pixels_hold_no_box():
    prob = maps(plane((slice(0, 9), slice(0, 13), 1.0)))
    window = (2, 1, 11, 7)
    boxes, _ = boxes_of_maps(prob, 0.5, "largest", window)
    assert boxes.tolist() == [[2, 1, 11, 7]]
    assert rasterised(torch.tensor([[0.0, 0.0, 13.0, 9.0]]), SIZE, window).sum() == 9 * 6
    assert clipped(torch.tensor([[0.0, 0.0, 1.0, 9.0]]), window).isnan().all()


def test_boxes_of_two_objects_may_share_pixels():
    made = rasterised(torch.tensor([[0.0, 0.0, 6.0, 6.0], [3.0, 3.0, 9.0, 9.0]]), SIZE)
    assert (made.sum(0) == 2).sum() == 9


@pytest.mark.parametrize("count", [0, 3])
def test_any_number_of_maps_is_read(count):
    boxes, seen = boxes_of_maps(torch.zeros(count, 1, *SIZE), 0.5, "largest")
    assert boxes.shape == (count, 4)
    assert seen == [False] * count
