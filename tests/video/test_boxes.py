"""Boxes found in maps, and their overlap."""

import numpy as np
import pytest

from vosbench.video.boxes import box_iou, box_of_map


@pytest.mark.parametrize(("one", "other", "expected"), [
    ((0.0, 0.0, 4.0, 4.0), (0.0, 0.0, 4.0, 4.0), 1.0),
    ((0.0, 0.0, 4.0, 4.0), (2.0, 0.0, 6.0, 4.0), 8 / 24),
    ((0.0, 0.0, 4.0, 4.0), (4.0, 0.0, 6.0, 4.0), 0.0),
    ((0.0, 0.0, 4.0, 4.0), (5.0, 5.0, 6.0, 6.0), 0.0),
    ((0.0, 0.0, 4.0, 4.0), None, 0.0),
    (None, None, 1.0),
])  # fmt: skip
def test_boxes_overlap_as_drawn_on_paper(one, other, expected):
    assert box_iou(one, other) == pytest.approx(expected)
    assert box_iou(other, one) == pytest.approx(expected)


def test_stray_blobs_do_not_stretch_a_box_unless_all_are_asked_for():
    prob = np.zeros((20, 30), np.float32)
    prob[3:9, 4:12] = 0.7
    prob[18, 28] = 0.99
    assert box_of_map(prob, 0.5) == (4, 3, 12, 9)
    assert box_of_map(prob, 0.5, component="all") == (4, 3, 29, 19)


def test_a_map_below_the_threshold_has_no_box():
    assert box_of_map(np.full((4, 5), 0.4, np.float32), 0.5) is None
