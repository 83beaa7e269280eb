"""A session's dealings with its user: prompts that cannot be used, sizes, boxes, and what a method can get to see."""

import numpy as np
import pytest
import torch

from tests.methods.built import built
from vosbench.datasets.procedural import ProceduralVideos
from vosbench.errors import PromptError
from vosbench.evaluation import evaluate
from vosbench.inference.session import Session
from vosbench.inference.streaming import segment_sequence
from vosbench.methods.repeat import Repeat, RepeatBox
from vosbench.video.sequence import Sequence

IMAGE = np.zeros((40, 60, 3), np.uint8)


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ([10, 10, 10, 30], "has no area"),
        ([30, 10, 10, 30], "has no area"),
        ([70, 10, 90, 30], "lies outside the frame of 60x40"),
        ([float("nan"), 0, 5, 5], "has no area"),
    ],
)
def test_a_box_that_cannot_be_used_is_refused_with_frame_object_and_box(box, words):
    with pytest.raises(PromptError, match=words) as caught:
        Session(Repeat()).step(IMAGE, {3: box})
    assert "frame 0" in str(caught.value)
    assert "object 3" in str(caught.value)


def test_a_mask_of_another_size_names_both_sizes():
    with pytest.raises(PromptError, match="mask of object 2 is 39x60 but the frame is 40x60"):
        Session(Repeat()).step(IMAGE, {2: np.ones((39, 60), bool)})


def test_a_frame_of_another_size_is_refused():
    session = Session(Repeat())
    session.step(IMAGE, {1: np.ones((40, 60), bool)})
    with pytest.raises(PromptError, match="frame 1 is 41x60 but the video began with 40x60"):
        session.step(np.zeros((41, 60, 3), np.uint8))


def test_a_box_covers_the_pixels_whose_centre_lies_in_it():
    session = Session(Repeat())
    session.step(IMAGE, {7: [10.4, 5.0, 12.6, 8.0]})
    label_map = session.label_map(session.step(IMAGE))
    assert np.argwhere(label_map == 7).min(0).tolist() == [5, 10]
    assert np.argwhere(label_map == 7).max(0).tolist() == [7, 12]


def test_where_masks_overlap_the_later_one_has_the_pixel():
    first, second = np.zeros((40, 60), bool), np.zeros((40, 60), bool)
    first[:20], second[10:30] = True, True
    session = Session(Repeat())
    label_map = session.label_map(session.step(IMAGE, {1: first, 2: second}))
    assert np.unique(label_map[:10]).tolist() == [1]
    assert np.unique(label_map[10:30]).tolist() == [2]


def test_a_method_that_takes_masks_says_so_to_a_box():
    with pytest.raises(PromptError, match="is given by a box, but STMA takes masks") as caught:
        Session(built("stma")).step(IMAGE, {1: [5, 5, 30, 30]})
    assert "box_to_mask=<checkpoint of qmra>" in str(caught.value)


def test_ids_up_to_255_come_back_as_they_went_in():
    session = Session(Repeat())
    masks = {object_id: np.zeros((40, 60), bool) for object_id in (255, 7, 128)}
    for row, mask in enumerate(masks.values()):
        mask[row * 10 : row * 10 + 5] = True
    label_map = session.label_map(session.step(IMAGE, masks))
    assert sorted(np.unique(label_map).tolist()) == [0, 7, 128, 255]
    assert (label_map == 255).sum() == 5 * 60


class Peeping(Repeat):
    """Looks at everything that can be reached from what it is given, for a label map it should not have."""

    def __init__(self) -> None:
        super().__init__()
        self.planes: list[torch.Tensor] = []

    def memorize(self, features, prediction, masks, memory, frame):
        self.planes.append(masks.planes.clone())
        if len(self.planes) > 1:  # trusts any mask that is handed over after the first frame, as a cheat would
            memory = super().memorize(features, prediction, masks, memory, frame)
            return type(memory)(memory.objects, memory.size, masks.planes)
        return super().memorize(features, prediction, masks, memory, frame)


class Recorded(dict):
    """Label maps that remember which of them were opened."""

    def __init__(self, maps):
        super().__init__((key, None) for key in maps)
        self.maps, self.opened = maps, []

    def __getitem__(self, key):
        self.opened.append(key)
        return self.maps[key]


def test_a_method_that_cheats_gains_nothing():
    dataset = ProceduralVideos("val", size=128, length=12, count=2, seed=3)
    honest, cheat = evaluate(Repeat(), dataset), evaluate(Peeping(), dataset)
    assert cheat.scores["overall"] == honest.scores["overall"]


def test_streaming_opens_the_label_maps_of_prompted_frames_alone():
    source = ProceduralVideos("val", size=128, length=12, count=1, seed=3)[0]
    maps = Recorded(source.label_maps)
    sequence = Sequence(source.name, source.frames, maps, source.objects, source.size)
    list(segment_sequence(Repeat(), sequence))
    assert set(maps.opened) == {item.first_frame for item in source.objects}


class Watched(RepeatBox):
    """Keeps the planes that it is prompted with."""

    def __init__(self) -> None:
        super().__init__()
        self.planes: list[torch.Tensor] = []

    def merge(self, prob, prompted):
        self.planes.append(prompted.planes[prompted.given])
        return super().merge(prob, prompted)


def test_a_method_that_takes_no_masks_is_handed_filled_boxes_alone(caplog):
    method = Watched()
    with caplog.at_level("INFO"):
        evaluate(method, ProceduralVideos("val", size=128, length=12, count=2, seed=3))
    assert method.planes
    assert "turned into its box" not in caplog.text  # the session is given boxes; it says so only where a user gives a mask
    for plane in torch.cat(method.planes):
        assert torch.equal(plane, plane.amax(0, keepdim=True) * plane.amax(1, keepdim=True))


def test_a_run_from_boxes_scores_its_boxes_too_and_says_where_they_are_from():
    dataset = ProceduralVideos("val", size=128, length=12, count=2, seed=3)
    from_boxes, from_masks = evaluate(RepeatBox(), dataset), evaluate(Repeat(), dataset)
    assert (from_boxes.scores["prompt"], from_boxes.scores["box_source"]) == ("box", "from_mask")
    assert from_masks.scores["prompt"] == "mask"
    assert "box_iou" not in from_masks.scores["overall"]
    overall = from_boxes.scores["overall"]
    assert from_boxes.headline()["box_iou"] == overall["box_iou"]
    assert overall["J_mean"] < overall["box_iou"] < 1
    # the frame of the prompt is a box too, and no object fills its box
    assert 0.2 < overall["J_exemplar"] < 0.95
    assert overall["J_mean"] < overall["J_exemplar"]


def test_where_boxes_overlap_the_smaller_one_is_in_front():
    session = Session(RepeatBox())
    label_map = session.label_map(session.step(IMAGE, {1: [0, 0, 30, 30], 2: [20, 20, 40, 40]}))
    assert (label_map == 2).sum() == 400
    assert (label_map == 1).sum() == 900 - 100
