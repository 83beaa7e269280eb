"""From a box to a mask, for methods that take masks."""

import numpy as np
import pytest

from vosbench.errors import PromptError
from vosbench.inference.box_masks import boxes_to_masks, by_method, grabcut
from vosbench.methods.repeat import RepeatBox

IMAGE = np.full((40, 56, 3), 30, np.uint8)
IMAGE[10:30, 20:40] = (220, 40, 20)
BOX = (15.0, 6.0, 45.0, 34.0)


def test_grabcut_finds_the_object_that_a_box_surrounds():
    mask = grabcut(IMAGE, {1: BOX})[1]
    assert mask[12:28, 22:38].all()
    assert mask.sum() == pytest.approx(400, abs=60)


def test_a_method_that_takes_boxes_gives_the_masks_of_the_prompted_frame():
    masks = by_method(RepeatBox())(IMAGE, {3: BOX, 8: (40.0, 0.0, 50.0, 10.0)})
    assert masks.keys() == {3, 8}
    assert masks[8].sum() == 100  # the smaller box is in front
    assert masks[3].sum() == 30 * 28 - 5 * 4
    assert not (masks[3] & masks[8]).any()


def test_boxes_become_masks_and_masks_stay():
    mask = np.zeros((40, 56), bool)
    mask[:4, :4] = True
    made = boxes_to_masks({2: mask, 3: list(BOX)}, IMAGE, "here", by_method(RepeatBox()))
    assert made[2] is mask
    assert list(made) == [2, 3]
    assert made[3].sum() == 30 * 28


def test_without_boxes_nothing_is_computed():
    def never(image, boxes):
        raise AssertionError

    assert boxes_to_masks({}, IMAGE, "here", never) == {}


@pytest.mark.parametrize(("box", "sentence"), [
    ([60, 5, 90, 20], "here: the box .* lies outside the frame of 56x40"),
    ([5, 5, 5, 20], "here: the box .* has no area"),
    ([5, 5, 9, 9], r"here: no object is found in the box \[5.0, 5.0, 9.0, 9.0\] of object 1; draw the box closer"),
])  # fmt: skip
def test_a_box_that_gives_no_mask_is_refused(box, sentence):
    def nothing(image, boxes):
        return {object_id: np.zeros(image.shape[:2], bool) for object_id in boxes}

    with pytest.raises(PromptError, match=sentence):
        boxes_to_masks({1: box}, IMAGE, "here", nothing)
