"""The five protocols, frame by frame: against the goldens, and their properties."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics.drawn import GOLDENS, TOLERANCE, blobs, golden, label_map, numbered
from tests.shared import needs_shared
from vosbench.errors import ConfigError, DatasetError
from vosbench.metrics.rule_choice import rule_for
from vosbench.metrics.sequence_scorer import SequenceScorer
from vosbench.metrics.summary import mean_by_attribute, summarise

SEEDS = st.integers(0, 2**16)


def scored(
    protocol: str, truth: list[np.ndarray], predicted: list[np.ndarray], names: list[str] | None = None, **options: Any
) -> dict[str, Any]:
    """Feed a whole video. `strict_labels` goes to the scorer, what else there is to the rule."""
    names = names or numbered(len(truth))
    strict_labels = options.pop("strict_labels", False)
    scorer = SequenceScorer(rule_for(protocol, names, "video", **options), names, "video", strict_labels)
    for name, truth_map, predicted_map in zip(names, truth, predicted, strict=True):
        scorer.add(name, truth_map, predicted_map)
    return scorer.result()


def drawn(video: dict[str, Any]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    return [label_map(rows) for rows in video["gt"]], [label_map(rows) for rows in video["pred"]]


def tiny_results(protocol: str) -> dict[str, dict[str, Any]]:
    return {name: scored(protocol, *drawn(video)) for name, video in golden()["tiny_videos"]["videos"].items()}


def moving(count: int, size: tuple[int, int] = (20, 30)) -> list[np.ndarray]:
    """Two squares that move to the right, object 1 above object 2, visible in every frame."""
    maps = []
    for step in range(count):
        frame = np.zeros(size, np.uint8)
        frame[2:7, step % 20 : step % 20 + 5], frame[12:18, step % 20 + 2 : step % 20 + 8] = 1, 2
        maps.append(frame)
    return maps


@needs_shared(GOLDENS)
def test_davis_matches_the_golden_on_tiny_videos():
    results, expected = tiny_results("davis"), golden()["tiny_videos"]["davis"]

    overall = summarise("davis", results)["overall"]

    for name, objects in expected["per_object"].items():
        assert results[name]["objects"].keys() == objects.keys()
        for object_id, scores in objects.items():
            found = results[name]["objects"][object_id]
            for letter in "JF":
                for statistic, value in scores[letter].items():
                    assert found[f"{letter}_{statistic}"] == pytest.approx(value, abs=TOLERANCE), (name, object_id)
    for key in ("J_mean", "J_recall", "J_decay", "F_mean", "F_recall", "F_decay", "J&F"):
        assert overall[key] == pytest.approx(expected["global"][key], abs=TOLERANCE)


@needs_shared(GOLDENS)
def test_generic_matches_the_golden_on_tiny_videos():
    results, expected = tiny_results("generic"), golden()["tiny_videos"]["generic"]

    overall = summarise("generic", results)["overall"]

    for name, objects in expected["per_object"].items():
        assert results[name]["objects"].keys() == objects.keys()
        for object_id, scores in objects.items():
            found = results[name]["objects"][object_id]
            assert found["J_mean"] == pytest.approx(scores["J"], abs=TOLERANCE)
            assert found["F_mean"] == pytest.approx(scores["F"], abs=TOLERANCE)
    for key in ("J_mean", "F_mean", "J&F"):
        assert overall[key] == pytest.approx(expected["global"][key], abs=TOLERANCE)


@needs_shared(GOLDENS)
def test_ytvos_matches_the_golden():
    case = golden()["youtube_vos_style"]
    results, categories = {}, {}
    for name, video in case["videos"].items():
        objects = case["meta"]["videos"][name]["objects"]
        frames = {int(key): item["frames"] for key, item in objects.items()}
        results[name] = scored("ytvos", *drawn(video), names=video["frames"], object_frames=frames)
        categories[name] = {key: item["category"] for key, item in objects.items()}

    overall = summarise("ytvos", results, categories=categories, categories_seen=frozenset(case["seen_categories"]))["overall"]

    for name, objects in case["per_object"].items():
        for object_id, scores in objects.items():
            found = results[name]["objects"][object_id]
            assert len(found["J"]) == scores["frames_scored"]
            assert found["J_mean"] == pytest.approx(scores["J"], abs=TOLERANCE)
            assert found["F_mean"] == pytest.approx(scores["F"], abs=TOLERANCE)
    for key, value in case["global"].items():
        assert overall[key] == pytest.approx(value, abs=TOLERANCE)


@needs_shared(GOLDENS)
def test_lvos_matches_the_golden():
    case = golden()["lvos_style"]
    results = {}
    for name, video in case["videos"].items():
        ranges = {int(key): item["frame_range"] for key, item in case["meta"]["videos"][name]["objects"].items()}
        lives = {key: [f"{n:08d}" for n in range(int(item["start"]), int(item["end"]) + 1, 5)] for key, item in ranges.items()}
        nums = {key: int(item["frame_nums"]) for key, item in ranges.items()}
        results[name] = scored("lvos", *drawn(video), names=video["frames"], object_frames=lives, frame_nums=nums)

    overall = summarise("lvos", results, unseen_sequences=case["unseen_videos"])["overall"]

    for name, objects in case["per_object"].items():
        for object_id, scores in objects.items():
            found = results[name]["objects"][object_id]
            assert (found["J_mean"], found["F_mean"]) == pytest.approx((scores["J"], scores["F"]), abs=TOLERANCE)
            assert found["V"] == pytest.approx(scores["V"], abs=TOLERANCE)
    for key, value in case["global"].items():
        assert overall[key] == pytest.approx(value, abs=TOLERANCE)


def test_a_range_shorter_than_its_frame_nums_divides_by_the_places_left_over():
    names = ["00000001", "00000006", "00000011", "00000016"]
    result = scored("lvos", moving(4), moving(4), names, object_frames={1: names}, frame_nums={1: 6})

    assert result["objects"]["1"]["J"] == [1.0, 1.0, 0.0, 0.0]
    assert result["objects"]["1"]["J_mean"] == 0.5
    assert result["objects"]["1"]["V"] == 0.5


def test_a_range_longer_than_its_frame_nums_is_an_error():
    with pytest.raises(DatasetError, match="'video', object 1: its frame range has 2 frames to score but frame_nums says 1"):
        scored("lvos", moving(4), moving(4), object_frames={1: numbered(4)}, frame_nums={1: 3})


@pytest.mark.parametrize("protocol", ["davis", "single", "generic"])
def test_ground_truth_as_prediction_scores_one(protocol):
    result = scored(protocol, moving(5), moving(5))

    assert result["mean"] == {"J_mean": 1, "J_recall": 1, "J_decay": 0, "F_mean": 1, "F_recall": 1, "F_decay": 0, "J&F": 1}
    assert result["frames"] == ["00001", "00002", "00003"]


@pytest.mark.parametrize("protocol", ["ytvos", "lvos"])
def test_ground_truth_as_prediction_scores_one_where_a_meta_file_lists_the_frames(protocol):
    result = scored(protocol, moving(5), moving(5), object_frames={1: numbered(5), 2: numbered(5)[1:]})

    assert (result["mean"]["J_mean"], result["mean"]["F_mean"]) == (1, 1)


@pytest.mark.parametrize("protocol", ["davis", "single", "generic"])
def test_an_empty_prediction_of_a_present_object_scores_zero(protocol):
    result = scored(protocol, moving(5), [np.zeros((20, 30), np.uint8)] * 5)

    assert (result["mean"]["J_mean"], result["mean"]["J_recall"], result["mean"]["F_mean"]) == (0, 0, 0)


@pytest.mark.parametrize("protocol", ["davis", "single", "generic"])
def test_the_prediction_of_the_first_and_last_frame_does_not_matter(protocol):
    garbage = np.full((20, 30), 77, np.uint8)

    result = scored(protocol, moving(5), [garbage, *moving(5)[1:-1], garbage])

    assert result == scored(protocol, moving(5), moving(5))


@settings(max_examples=20)
@given(seeds=st.lists(SEEDS, min_size=5, max_size=5))
def test_davis_equals_generic_when_every_object_is_in_every_frame(seeds):
    predicted = [blobs(seed, 20, 30, labels=2) for seed in seeds]

    davis, generic = scored("davis", moving(5), predicted), scored("generic", moving(5), predicted)

    assert davis["objects"] == generic["objects"]


@settings(max_examples=20)
@given(truth=st.lists(SEEDS, min_size=4, max_size=4), predicted=st.lists(SEEDS, min_size=4, max_size=4))
def test_permuting_the_ids_permutes_the_objects_and_leaves_the_means(truth, predicted):
    first = moving(1) + [blobs(seed, 20, 30, labels=2) for seed in truth]
    second = moving(1) + [blobs(seed, 20, 30, labels=2) for seed in predicted]
    swap = np.array([0, 2, 1], np.uint8)

    result = scored("davis", first, second)
    swapped = scored("davis", [swap[item] for item in first], [swap[item] for item in second])

    assert (swapped["objects"]["2"], swapped["objects"]["1"]) == (result["objects"]["1"], result["objects"]["2"])
    assert swapped["mean"] == result["mean"]


def test_three_hundred_frames_have_a_finite_decay():
    lost = [np.zeros((20, 30), np.uint8)] * 150

    result = scored("davis", moving(300), moving(300)[:150] + lost)

    assert result["mean"]["J_decay"] == pytest.approx(1.0)


def test_void_of_davis_2017_is_background():
    truth = moving(3)
    truth[0][0, 0] = truth[1][0, 0] = 255

    assert scored("davis", truth, moving(3))["objects"].keys() == {"1", "2"}


def test_gray_masks_of_davis_2016_are_one_object():
    truth = [np.where(frame > 0, 255, 0).astype(np.uint8) for frame in moving(4)]

    assert scored("single", truth, moving(4))["objects"]["1"]["J"] == [1.0, 1.0]


def test_a_false_alarm_before_its_entrance_starts_an_objects_clock_in_generic():
    truth = [np.where(frame == 2, 0, frame) for frame in moving(4)] + moving(6)[4:]
    predicted = [*truth[:2], moving(6)[2], *truth[3:]]

    late = scored("generic", truth, predicted)["objects"]["2"]

    assert (late["frames"], late["J"]) == (["00002", "00003", "00004"], [0.0, 1.0, 1.0])


def test_a_false_alarm_that_fills_the_frame_has_no_boundary_to_be_wrong_about():
    truth = [np.zeros((20, 30), np.uint8), np.zeros((20, 30), np.uint8), moving(1)[0], moving(1)[0]]
    predicted = [truth[0], np.full((20, 30), 1, np.uint8), truth[2], truth[3]]

    found = scored("generic", truth, predicted)["objects"]["1"]

    assert (found["J"], found["F"]) == ([0.0, 1.0], [1.0, 1.0])


def test_stray_labels_are_counted_and_cost_nothing_by_themselves():
    predicted = [frame.copy() for frame in moving(4)]
    predicted[1][19, 25:], predicted[2][19, :3] = 9, 200

    result = scored("davis", moving(4), predicted)

    assert (result["stray_labels"], result["mean"]["J_mean"]) == ([9, 200], 1.0)


def test_strict_labels_names_the_frame_of_the_first_stray_label():
    predicted = [frame.copy() for frame in moving(4)]
    predicted[2][19, :3] = 9

    with pytest.raises(DatasetError, match=r"'video', frame '00002': the prediction holds label\(s\) \[9\]"):
        scored("davis", moving(4), predicted, strict_labels=True)


def test_an_object_that_is_not_yet_there_in_its_first_listed_frame_starts_later():
    truth = [np.where(frame == 2, 0, frame) for frame in moving(2)] + moving(5)[2:]

    result = scored("ytvos", truth, moving(5), object_frames={2: numbered(5)})

    assert result["objects"]["2"]["frames"] == ["00003", "00004"]


def test_a_group_without_objects_has_null_scores():
    result = scored("ytvos", moving(3), moving(3), object_frames={1: numbered(3)})

    overall = summarise("ytvos", {"video": result}, categories={"video": {"1": "cat"}}, categories_seen={"cat"})["overall"]

    assert (overall["J_seen"], overall["J_unseen"], overall["G"], overall["J&F"]) == (1.0, None, None, 1.0)


def test_a_prediction_of_another_size_is_never_resized():
    with pytest.raises(DatasetError, match="'video', frame '00001': the prediction is 21x30 but the ground truth is 20x30"):
        scored("davis", moving(3), moving(3, size=(21, 30)))


def test_two_frames_hold_nothing_to_score():
    with pytest.raises(DatasetError, match="'video' has 2 annotated frame"):
        scored("davis", moving(2), moving(2))


def test_generic_scores_every_frame_on_request():
    assert scored("generic", moving(2), moving(2), skip_first_and_last=False)["frames"] == ["00000", "00001"]


def test_frames_that_the_meta_file_lists_must_be_annotated():
    with pytest.raises(DatasetError, match="'video', frame '00007'"):
        scored("ytvos", moving(3), moving(3), object_frames={1: ["00000", "00007"]})


def test_frames_out_of_order_and_frames_left_out_are_refused():
    names = numbered(4)
    scorer = SequenceScorer(rule_for("davis", names, "video"), names, "video")
    scorer.add("00000", moving(1)[0])
    scorer.add("00002", moving(1)[0], moving(1)[0])

    with pytest.raises(ValueError, match="in time order"):
        scorer.add("00001", moving(1)[0], moving(1)[0])
    with pytest.raises(ValueError, match="first '00001'"):
        scorer.result()


def test_an_unknown_protocol_names_those_there_are():
    with pytest.raises(ConfigError, match="davis, single, generic, ytvos, lvos"):
        rule_for("davis17", numbered(3), "video")


def test_objects_are_averaged_by_attribute():
    scores = {"sequences": {"a": {"objects": {"1": {"J_mean": 0.5, "F_mean": 1.0}, "2": {"J_mean": 0.25, "F_mean": 0.25}}}}}

    found = mean_by_attribute(scores, {"a": {"1": ["small"], "2": ["small", "late"]}})

    assert found == {"late": {"J&F": 0.25, "objects": 1}, "small": {"J&F": 0.5, "objects": 2}}
