"""Rule 2 of the post-processing, small objects predicted again in a crop; and the rules as the command line chooses them."""

import inspect
import logging
import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.inference.post_cases import FAR, SMALL, Coarse, painted, square
from tests.methods.built import built
from vosbench.configuration.freezing import freeze_line
from vosbench.configuration.overrides import CommandLine
from vosbench.configuration.targets import build
from vosbench.datasets.procedural import ProceduralVideos
from vosbench.evaluation import evaluate
from vosbench.inference.post.far_components import FarComponents
from vosbench.inference.post.processing import PostRules
from vosbench.inference.post.small_objects import SmallObjects, with_probability
from vosbench.inference.post.windows import Area, Window
from vosbench.inference.session import Session
from vosbench.layers.sizing import FullSizing, PaddedSizing

RULES = PostRules(None, SMALL)
SIZE = (96, 128)
FRAME = Area.of(FullSizing(SIZE, SIZE, SIZE))


def dot(top: int, left: int, side: int = 6) -> np.ndarray:
    return square(top, left, side, SIZE)


def moving(frames: int, others: dict[int, np.ndarray] | None = None) -> list[dict[int, np.ndarray]]:
    """Where object 1, a dot that moves two pixels a frame, and the `others` are."""
    return [{1: dot(44 + t, 50 + 2 * t), **(others or {})} for t in range(frames)]


def stream(method, places, rules, prompts=None, **options) -> list[np.ndarray]:
    session = Session(method, post=rules, **options)
    given = {0: places[0]} if prompts is None else prompts
    return [session.label_map(session.step(painted(objects), given.get(t))) for t, objects in enumerate(places)]


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    return (found & truth).sum() / (found | truth).sum()


def test_a_small_object_is_segmented_better_in_its_crop():
    places = moving(4)
    plain, revised = stream(Coarse(), places, None), stream(Coarse(), places, RULES)
    for t in range(1, 4):
        assert iou(revised[t] == 1, places[t][1]) > 0.7
        assert iou(revised[t] == 1, places[t][1]) > iou(plain[t] == 1, places[t][1]) + 0.2


def test_what_is_found_in_the_crop_is_what_the_method_remembers():
    session = Session(Coarse(), post=RULES)
    for t, objects in enumerate(moving(3)):
        prob = session.step(painted(objects), objects if t == 0 else None)
        remembered = session.memory.previous[0].argmax(0).numpy()
        assert np.array_equal(remembered, session.label_map(prob))


def test_nothing_changes_outside_the_window():
    places = moving(2, {2: square(4, 90, 30, SIZE)})
    plain, revised = Session(Coarse()), Session(Coarse(), post=RULES)
    for session in (plain, revised):
        session.step(painted(places[0]), places[0])
    before, after = plain.step(painted(places[1])), revised.step(painted(places[1]))
    changed = (before != after).any(0).numpy()
    rows, columns = np.argwhere(changed).min(0), np.argwhere(changed).max(0)
    assert changed.any()
    assert (columns - rows < 24 + 1).all()  # a quarter of 96
    torch.testing.assert_close(after.sum(0), torch.ones(SIZE), rtol=0, atol=1e-5)


def test_a_large_object_costs_no_call():
    method = Coarse()
    stream(method, [{1: square(20, 30, 40, SIZE)}] * 4, RULES)
    assert method.counts.encoded == [1] * 4


def test_a_crop_has_its_own_size_and_its_reference_is_made_once():
    method = Coarse()
    stream(method, moving(4), RULES)
    crop, frame = (112, 112), (96, 128)  # 97 pixels, padded to the stride
    assert method.counts.encoded == [1, 1, 1, 2, 1, 2, 1, 2]
    assert method.counts.sizes == [frame, frame, crop, crop, frame, crop, frame, crop]


def test_objects_beside_the_reference_keep_entries_of_their_own():
    method = Coarse()
    places = moving(2, {2: dot(44, 58, 10), 3: square(70, 100, 20, SIZE)})
    shown = stream(method, places, RULES)
    assert method.counts.objects == [3, 2]  # the third lies outside the window
    assert iou(shown[1] == 2, places[1][2]) > 0.6


@pytest.mark.parametrize(("rule", "calls"), [({}, 3), ({"most": 2}, 2), ({"area": 0.001}, 0)])
def test_at_most_so_many_objects_of_at_most_that_area_are_predicted_again(rule, calls):
    method, places = Coarse(), [{9: dot(10, 10), 4: dot(50, 50), 6: dot(70, 100)}] * 2
    colours = {9: 1, 4: 2, 6: 3}
    session = Session(method, post=PostRules(None, SmallObjects(**{**vars(SMALL), **rule})))
    image = painted({colours[object_id]: mask for object_id, mask in places[0].items()})
    session.step(image, places[0])
    session.step(image)
    assert method.counts.encoded.count(2) == calls


def test_the_smallest_ids_come_first():
    label_map = np.zeros(SIZE, np.uint8)
    for label, left in ((1, 10), (2, 40), (3, 70)):
        label_map[dot(10, left)] = label
    rule = SmallObjects(**{**vars(SMALL), "most": 2})
    assert rule.chosen(label_map, [9, 4, 6], set(), FRAME) == [1, 2]
    assert rule.chosen(label_map, [9, 4, 6], {1}, FRAME) == [2, 0]


def test_an_object_whose_mask_is_given_is_not_predicted_again():
    method, places = Coarse(), moving(2)
    shown = stream(method, places, RULES, prompts={0: places[0], 1: places[1]})
    assert 2 not in method.counts.encoded
    assert np.array_equal(shown[1] == 1, places[1][1])


@pytest.mark.parametrize(
    ("new", "accepted"),
    [
        (dot(40, 40, 10), True),
        (dot(40, 40, 20), True),  # 4 times the area
        (dot(40, 40, 21), False),
        (dot(40, 40, 5), True),  # a quarter
        (dot(40, 40, 4), False),
        (dot(40, 65, 10), True),  # 16 pixels away, half of 32
        (dot(40, 66, 10), False),
        (np.zeros(SIZE, bool), False),
    ],
)
def test_the_new_mask_counts_if_it_is_near_the_old_one_and_of_about_its_area(new, accepted):
    assert SMALL.accepts(new, dot(40, 40, 10), 32) is accepted


def test_a_refused_answer_leaves_every_bit_as_it_was():
    strict = PostRules(None, SmallObjects(**{**vars(SMALL), "ratio": 1.0, "reach": 0.0}))
    plain, revised = Session(Coarse()), Session(Coarse(), post=strict)
    for t, objects in enumerate(moving(4)):
        given = objects if t == 0 else None
        assert torch.equal(plain.step(painted(objects), given), revised.step(painted(objects), given))


def test_the_others_keep_their_proportions():
    prob = torch.tensor([0.2, 0.5, 0.3]).view(3, 1, 1).expand(3, 4, 6).clone()
    revised = with_probability(prob, 0, Window(1, 2, 2), torch.full((2, 2), 0.75))
    torch.testing.assert_close(revised[:, 1, 2], torch.tensor([0.1, 0.75, 0.15]))
    assert torch.equal(revised[:, 0], prob[:, 0])
    assert torch.equal(prob[:, 1, 2], torch.tensor([0.2, 0.5, 0.3]))


def test_certainty_that_is_taken_back_goes_to_the_background():
    prob = torch.tensor([0.0, 1.0, 0.0]).view(3, 1, 1).expand(3, 2, 2).clone()
    revised = with_probability(prob, 0, Window(0, 0, 2), torch.full((2, 2), 0.25))
    torch.testing.assert_close(revised[:, 0, 0], torch.tensor([0.75, 0.25, 0.0]))


@pytest.mark.parametrize(
    ("mask", "window"),
    [
        (dot(40, 50, 10), Window(30, 40, 30)),  # three times the box
        (dot(40, 50, 2), Window(29, 39, 24)),  # at least a quarter of the shorter side
        (dot(0, 120, 8), Window(0, 104, 24)),  # shifted into the frame
        (dot(20, 30, 60), Window(0, 12, 96)),  # at most the shorter side
    ],
)
def test_the_window_of_a_mask(mask, window):
    assert SMALL.around(mask, FRAME) == window


def test_a_window_stays_out_of_the_padding():
    sizing = PaddedSizing.of(90, 120, 16)
    area = Area.of(sizing)
    assert (area.top, area.left, area.height, area.width) == (3, 4, 90, 120)
    mask = np.zeros(sizing.masks, bool)
    mask[3:9, 118:124] = True
    assert SMALL.around(mask, area) == Window(3, 102, 22)


def test_a_window_cuts_the_same_part_out_of_a_frame_of_another_size():
    image = painted({1: dot(40, 60, 8)})
    doubled = np.repeat(np.repeat(image, 2, 0), 2, 1)
    small = Area.of(PaddedSizing.of(192, 256, 16, long_edge=128))
    window = Window(32, 52, 24)
    crop = window.of_image(torch.from_numpy(doubled), small, 48)
    assert torch.equal(crop, torch.from_numpy(doubled[64:112, 104:152]) / 255)


def test_a_window_leaves_the_padding_out_of_its_cut():
    image = torch.randint(255, (90, 120, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    padded = Area.of(PaddedSizing.of(90, 120, 16))  # three rows above, four columns to the left
    assert torch.equal(Window(13, 24, 24).of_image(image, padded, 24), image[10:34, 20:44] / 255)


@pytest.mark.parametrize("options", [{}, {"long_edge": 80}, {"short_edge": 128}])
@pytest.mark.parametrize("name", ["stma", "nearest"])
def test_any_method_can_be_post_processed_at_any_size(name, options):
    places = [{1: square(43 + t, 50 + 2 * t, 6, (95, 131))} for t in range(4)]
    session = Session(built(name), post=PostRules(FAR, SmallObjects(**{**vars(SMALL), "area": 0.5})), **options)
    for t, objects in enumerate(places):
        prob = session.step(
            painted(objects, (95, 131)), objects if t == 0 else {8: square(5, 5, 9, (95, 131))} if t == 2 else None
        )
        assert prob.isfinite().all()
        torch.testing.assert_close(prob.sum(0), torch.ones(95, 131), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["stma", "nearest"])
def test_with_no_rule_every_bit_is_as_without_post_processing(name):
    plain, switched_off = Session(built(name)), Session(built(name), post=PostRules(None, None))
    for t, objects in enumerate(moving(4)):
        given = objects if t == 0 else None
        assert torch.equal(plain.step(painted(objects), given), switched_off.step(painted(objects), given))


def test_a_method_that_takes_boxes_alone_is_told_that_the_second_rule_is_left_out(caplog):
    method, places = Coarse(), moving(2)
    method.prompt_kinds = frozenset({"box"})
    with caplog.at_level(logging.WARNING):
        stream(method, places, RULES)
    assert method.counts.encoded == [1, 1]
    assert "post.small is left out: Coarse takes boxes" in caplog.text


def test_the_caller_may_draw_every_frame_into_the_same_array():
    method, array = Coarse(), np.empty((*SIZE, 3), np.uint8)
    session = Session(method, post=RULES)
    for t, objects in enumerate(moving(2)):
        array[:] = painted(objects)
        session.step(array, objects if t == 0 else None)
    before, now = method.counts.images  # crops of the same window, in which the object has moved
    assert not torch.equal(before, now)


def test_the_first_mask_of_an_object_is_its_reference_for_good():
    method, places = Coarse(), moving(4)
    stream(method, places, RULES, prompts={0: places[0], 2: places[2]})
    assert method.counts.encoded == [1, 1, 1, 2, 1, 1, 2]


def test_what_is_kept_of_a_video_does_not_grow():
    session = Session(Coarse(), post=PostRules(FAR, SMALL))
    for t in range(30):
        session.step(painted(moving(1)[0]), moving(1)[0] if t == 0 else None)
    kept = vars(session._post)
    assert len(kept["_last"]) == 1
    assert len(kept["_crops"]._references) == 1


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("area", -0.1, "post.small.area must be at least 0"), ("most", 0, "post.small.most must be at least 1")],
)
def test_a_rule_that_makes_no_sense_is_refused(name, value, words):
    with pytest.raises(ValueError, match=words):
        SmallObjects(**{**vars(SMALL), name: value})


def test_something_that_is_no_rule_is_refused_with_what_to_write():
    code = (
        "from vosbench.inference.post.processing import PostRules; PostRules(True, None)"  # where no type checker says it first
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "post.components must be a rule or null, got True: post=components switches it on, post=camn both" in done.stderr


class Spy(PostRules):
    """Rules that note each video."""

    videos: list[tuple[int, int]] = []

    def for_video(self, method, sizing):
        self.videos.append(sizing.frame)
        return super().for_video(method, sizing)


def test_an_evaluation_hands_its_rules_to_every_sequence():
    videos = ProceduralVideos("val", size=64, length=12, count=2)
    evaluate(built("nearest"), videos, post=Spy(FAR, None))
    assert Spy.videos == [(64, 64)] * 2


@pytest.mark.parametrize(
    ("option", "size", "rules"),
    [
        ("none", "tiny", PostRules(None, None)),
        ("components", "paper", PostRules(FAR, None)),
        ("small", "tiny", PostRules(None, SMALL)),
        ("camn", "tiny", PostRules(FAR, SMALL)),
        ("camn", "paper", PostRules(FAR, SmallObjects(**{**vars(SMALL), "crop": 465}))),
    ],
)
def test_one_word_chooses_the_rules_of_the_specification(option, size, rules):
    config, _ = freeze_line(CommandLine.parse(["+method=nearest", f"post={option}", f"size={size}"]))
    assert build(config["post"]) == rules


def test_every_argument_of_the_rules_is_written_in_the_yaml_and_can_be_changed():
    line = ["+method=nearest", "post=camn", "post.components.keep=nearest", "post.small.most=2"]
    post = freeze_line(CommandLine.parse(line))[0]["post"]
    assert set(inspect.signature(FarComponents).parameters) | {"_target_"} == set(post["components"])
    assert set(inspect.signature(SmallObjects).parameters) | {"_target_"} == set(post["small"])
    assert build(post).components.keep == "nearest"
    assert build(post).small.most == 2


def test_either_rule_can_be_switched_off_again():
    post = freeze_line(CommandLine.parse(["+method=nearest", "post=camn", "post.small=null"]))[0]["post"]
    assert build(post) == PostRules(FAR, None)
