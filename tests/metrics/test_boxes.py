"""Box IoU and the scores of prompted frames, against drawings worked out by hand."""

import numpy as np
import pytest

from vosbench.metrics.boxes import BoxScorer, overall_boxes


def drawn(*boxes: tuple[int, int, int, int, int]) -> np.ndarray:
    """A label map of 20 x 30 with filled boxes (id, x0, y0, x1, y1)."""
    label_map = np.zeros((20, 30), np.uint8)
    for object_id, x0, y0, x1, y1 in boxes:
        label_map[y0:y1, x0:x1] = object_id
    return label_map


def result(frames: list[str], **objects: dict) -> dict:
    return {"frames": frames, "objects": {name.strip("o"): item for name, item in objects.items()}}


def test_boxes_are_compared_over_the_frames_in_which_their_object_is_scored():
    scorer, nothing = BoxScorer(binary=False), drawn()
    truth = drawn((1, 0, 0, 10, 10), (2, 20, 0, 24, 4))
    scorer.add("0", truth, nothing, {1: (0.0, 0.0, 10.0, 10.0)}, [1])
    scorer.add("1", truth, nothing, {1: (5.0, 0.0, 15.0, 10.0), 2: (20.0, 0.0, 24.0, 8.0)}, [2])
    scorer.add("2", truth, nothing, {1: (0.0, 0.0, 10.0, 20.0), 2: None}, [])
    found = scorer.onto(result(["1", "2"], o1={}, o2={"frames": ["2"]}))["objects"]
    assert found["1"]["box_iou"] == pytest.approx((50 / 150 + 1 / 2) / 2)
    assert found["2"]["box_iou"] == 0.0


def test_an_object_that_is_gone_and_has_no_box_agrees():
    scorer = BoxScorer(binary=False)
    scorer.add("0", drawn(), drawn(), {1: None}, [])
    scorer.add("1", drawn(), drawn(), {1: (0.0, 0.0, 2.0, 2.0)}, [])
    assert scorer.onto(result(["0"], o1={}))["objects"]["1"]["box_iou"] == 1.0
    assert scorer.onto(result(["1"], o1={}))["objects"]["1"]["box_iou"] == 0.0


def test_without_boxes_of_its_own_a_method_has_those_of_its_masks():
    scorer = BoxScorer(binary=False)
    scorer.add("0", drawn((4, 0, 0, 10, 10)), drawn((4, 5, 0, 15, 10)), {}, [])
    assert scorer.onto(result(["0"], o4={}))["objects"]["4"]["box_iou"] == pytest.approx(50 / 150)


def test_prompted_frames_are_scored_beside_the_others():
    scorer = BoxScorer(binary=False)
    scorer.add("0", drawn((1, 0, 0, 10, 10)), drawn((1, 0, 0, 10, 5)), {1: (0.0, 0.0, 10.0, 10.0)}, [1])
    scorer.add("1", drawn((1, 0, 0, 10, 10)), drawn((1, 0, 0, 10, 10)), {1: (0.0, 0.0, 10.0, 10.0)}, [])
    found = scorer.onto(result(["1"], o1={"J_mean": 1.0}))["objects"]["1"]
    assert found["J_mean"] == 1.0
    assert found["J_exemplar"] == 0.5
    assert 0 < found["F_exemplar"] < 1


def test_of_a_single_object_all_labels_are_one():
    scorer = BoxScorer(binary=True)
    scorer.add("0", drawn((38, 0, 0, 4, 4), (75, 4, 0, 10, 10)), drawn((1, 0, 0, 10, 10)), {1: (0.0, 0.0, 10.0, 10.0)}, [1])
    found = scorer.onto(result(["0"], o1={}))["objects"]["1"]
    assert found["box_iou"] == 1.0
    assert found["J_exemplar"] == pytest.approx((16 + 60) / 100)


def test_every_object_weighs_the_same_in_the_whole_and_an_unknown_number_is_left_out():
    sequences = {
        "a": {"objects": {"1": {"box_iou": 0.5, "J_exemplar": 0.8, "F_exemplar": None}}},
        "b": {"objects": {"1": {"box_iou": 0.2, "J_exemplar": None, "F_exemplar": None}, "2": {"box_iou": 0.2}}},
    }
    overall = overall_boxes({"sequences": sequences})
    assert overall["box_iou"] == pytest.approx(0.3)
    assert overall["J_exemplar"] == 0.8
    assert overall["F_exemplar"] is None
