"""Scoring folders: the goldens on real masks, the sequences that are chosen, and what goes wrong with files."""

import json
import multiprocessing
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.metrics.drawn import GOLDENS, TOLERANCE, blobs, golden, label_map, numbered, save
from tests.shared import SHARED, needs_shared
from vosbench.errors import ConfigError, DatasetError, RunError
from vosbench.metrics.folders import score_folders
from vosbench.metrics.protocols import scorer_for
from vosbench.metrics.rule_choice import rule_for
from vosbench.metrics.sequence_scorer import SequenceScorer
from vosbench.video.png import read_indices
from vosbench.video.sequence import Sequence, SequenceObject

MASKS = SHARED / "data/masks-davis17"
DAVIS16 = ("davis16-240p/Annotations/240p", "davis16-480p-sample/Annotations/480p", "masks-davis16/gt")
RELABELLED = (
    "bike-packing",
    "bmx-trees",
    "car-shadow",
    "dogs-jump",
    "gold-fish",
    "judo",
    "kite-surf",
    "parkour",
    "scooter-black",
    "soapbox",
)
KEYS = ("J_mean", "J_recall", "J_decay", "F_mean", "F_recall", "F_decay")


def assert_object(found, expected):
    for letter in "JF":
        assert found[letter] == expected[letter]["per_frame"]
        for statistic in ("mean", "recall", "decay"):
            assert found[f"{letter}_{statistic}"] == pytest.approx(expected[letter][statistic], abs=TOLERANCE)


def assert_overall(found, expected):
    for key in (*KEYS, "J&F"):
        assert found[key] == pytest.approx(expected[key], abs=TOLERANCE)


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """Ground truth and predictions of three sequences of five frames, two objects each."""
    for place, name in enumerate(["ant", "bee", "cat"]):
        truth = [blobs(place + frame, 30, 40, labels=2) for frame in range(5)]
        truth[0][:4, :4], truth[0][4:8, :4] = 1, 2
        save(tmp_path / "gt" / name, numbered(5), truth)
        save(tmp_path / "pred" / name, numbered(5), [blobs(place + frame + 50, 30, 40, labels=2) for frame in range(5)])
    return tmp_path / "gt", tmp_path / "pred"


@needs_shared(GOLDENS)
@needs_shared("data/masks-davis17")
def test_real_masks_match_the_golden():
    expected = golden()["masks-davis17"]

    scores = score_folders(MASKS / "gt", MASKS / "pred", processes=2)

    for name, sequence in expected["sequences"].items():
        assert scores["sequences"][name]["objects"].keys() == sequence["as_is"].keys()
        for object_id, values in sequence["as_is"].items():
            assert_object(scores["sequences"][name]["objects"][object_id], values)
    assert_overall(scores["overall"], expected["global"]["as_is"])
    assert scores["counts"]["objects"] == expected["global"]["as_is"]["objects"]


@needs_shared(GOLDENS)
@needs_shared("data/masks-davis17")
@pytest.mark.parametrize("name", RELABELLED)
def test_relabelled_masks_match_the_golden_without_files_in_between(name):
    expected = golden()["masks-davis17"]["sequences"][name]
    table = np.zeros(256, np.uint8)
    table[[int(label) for label in expected["relabel"]]] = list(expected["relabel"].values())
    names = numbered(expected["frames"])
    scorer = SequenceScorer(rule_for("davis", names, name), names, name)

    for frame in names:
        scorer.add(
            frame, read_indices(MASKS / "gt" / name / f"{frame}.png"), table[read_indices(MASKS / "pred" / name / f"{frame}.png")]
        )

    for object_id, values in expected["relabelled"].items():
        assert_object(scorer.result()["objects"][object_id], values)


def by_recipe(targets: list[np.ndarray]) -> list[np.ndarray]:
    """Predictions made from ground truth as the golden of DAVIS 2016 writes it down."""
    made = [targets[0]]
    for t in range(1, len(targets)):
        if t % 13 == 7:
            made.append(targets[t])
        elif t % 11 == 5:
            made.append(np.zeros_like(targets[t]))
        else:
            made.append(grown(moved(targets[t - 1], t % 5 - 2, t % 7 - 3), t % 3))
    return made


def moved(mask: np.ndarray, down: int, right: int) -> np.ndarray:
    padded = np.pad(mask, 3)
    return padded[3 - down : padded.shape[0] - 3 - down, 3 - right : padded.shape[1] - 3 - right]


def grown(mask: np.ndarray, times: int) -> np.ndarray:
    for _ in range(times):
        mask = np.any([moved(mask, down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)], axis=0)
    return mask


@needs_shared(GOLDENS)
@pytest.mark.parametrize("place", [pytest.param(place, marks=needs_shared(f"data/{place}")) for place in DAVIS16])
def test_single_object_masks_match_the_golden(tmp_path, place):
    expected = golden()["davis16"][place]
    for name in expected["sequences"]:
        files = sorted((SHARED / "data" / place / name).glob("*.png"))
        predicted = by_recipe([read_indices(path) > 0 for path in files])
        save(tmp_path / name, [path.stem for path in files], [item.astype(np.uint8) * 255 for item in predicted])

    scores = score_folders(SHARED / "data" / place, tmp_path, "single", processes=2)

    for name, values in expected["sequences"].items():
        assert_object(scores["sequences"][name]["objects"]["1"], values)
    assert_overall(scores["overall"], expected["global"])


@pytest.mark.parametrize("protocol", ["davis", "single", "generic"])
def test_the_number_of_processes_never_changes_a_digit(folders, protocol):
    one = json.dumps(score_folders(*folders, protocol, processes=1))

    assert json.dumps(score_folders(*folders, protocol, processes=3)) == one


def test_the_scores_of_files_equal_those_of_a_sequence_in_memory(folders):
    gt, pred = folders
    maps = {index: read_indices(gt / "ant" / f"{name}.png") for index, name in enumerate(numbered(5))}
    sequence = Sequence("ant", Frames(), maps, (SequenceObject(1, 0), SequenceObject(2, 0)), (30, 40))
    scorer = scorer_for("davis", sequence)

    for index, name in enumerate(numbered(5)):
        scorer.add(name, maps[index], read_indices(pred / "ant" / f"{name}.png"))

    assert scorer.result() == score_folders(gt, pred)["sequences"]["ant"]


class Frames:
    """Names are all that a scorer asks of a sequence's frames."""

    names = numbered(5)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, frame_index: int) -> np.ndarray:
        raise AssertionError("scoring decodes no image")


def test_palette_and_bit_depth_do_not_matter(folders):
    gt, pred = folders
    before = score_folders(gt, pred)["sequences"]
    for path in pred.rglob("*.png"):
        image = Image.fromarray(read_indices(path), "P")
        image.putpalette([7, 7, 7, 200, 10, 10, 0, 0, 90])
        image.save(path, bits=2)

    assert score_folders(gt, pred)["sequences"] == before


def test_a_sequence_without_predictions_is_left_out_or_an_error_with_strict(folders):
    gt, pred = folders
    shutil.rmtree(pred / "bee")

    assert score_folders(gt, pred)["sequences"].keys() == {"ant", "cat"}
    with pytest.raises(DatasetError, match="'bee' has no prediction"):
        score_folders(gt, pred, strict=True)


@pytest.mark.parametrize(
    "content",
    ["bee\ncat\n", "/JPEGImages/480p/bee/00000.jpg /Annotations/480p/bee/00000.png\n/J/cat/00000.jpg /A/cat/00000.png\n"],
)
def test_a_split_is_a_list_of_names_or_of_paths(folders, tmp_path, content):
    (tmp_path / "mine.txt").write_text(content)

    assert score_folders(*folders, split=tmp_path / "mine.txt")["sequences"].keys() == {"bee", "cat"}


def test_a_split_named_in_the_set_must_be_complete(folders, tmp_path):
    (tmp_path / "ImageSets/2017").mkdir(parents=True)
    (tmp_path / "ImageSets/2017/val.txt").write_text("bee\nowl\n")

    with pytest.raises(DatasetError, match="'owl' has no ground truth"):
        score_folders(*folders, split="val")
    assert score_folders(*folders, split="val", strict=False)["sequences"].keys() == {"bee"}


@pytest.mark.skipif(sys.platform != "linux", reason="a process that is not forked does not have the test's patch")
def test_a_scoring_process_that_is_killed_is_named_and_waited_for_by_nobody(folders, monkeypatch):
    here = os.getpid()
    monkeypatch.setattr(
        SequenceScorer, "result", lambda self: os.kill(os.getpid(), signal.SIGKILL) if os.getpid() != here else {}
    )

    with pytest.raises(RunError, match=r"One of 2 scoring processes was ended from outside.*processes=1"):
        score_folders(*folders, processes=2)
    assert multiprocessing.active_children() == []


def test_a_missing_predicted_frame_names_file_and_sequence(folders):
    gt, pred = folders
    (pred / "bee/00002.png").unlink()

    with pytest.raises(DatasetError, match=r"bee/00002\.png: sequence 'bee' has no prediction for frame '00002'"):
        score_folders(gt, pred, processes=2)


def test_a_predicted_frame_of_another_size_names_file_and_sequence(folders):
    gt, pred = folders
    save(pred / "bee", ["00002"], [np.zeros((15, 20), np.uint8)])

    with pytest.raises(DatasetError, match=r"bee/00002\.png: the prediction is 15x20 but the ground truth of sequence 'bee'"):
        score_folders(gt, pred)


def test_a_prediction_in_colours_names_file_and_sequence(folders):
    gt, pred = folders
    save(pred / "bee", ["00002"], [np.zeros((30, 40, 3), np.uint8)])

    with pytest.raises(DatasetError, match=r"'bee', frame '00002': .*bee/00002\.png: .* colours instead of indices"):
        score_folders(gt, pred, processes=2)


def test_extra_predicted_frames_are_ignored(folders):
    gt, pred = folders
    before = score_folders(gt, pred)
    save(pred / "bee", ["00009", "extra"], [np.zeros((3, 3), np.uint8)] * 2)

    assert score_folders(gt, pred) == before


def test_a_short_sequence_is_an_error_unless_asked_to_leave_it_out(folders):
    gt, pred = folders
    save(gt / "dot", numbered(2), [label_map(["11"])] * 2)
    save(pred / "dot", numbered(2), [label_map(["11"])] * 2)

    with pytest.raises(DatasetError, match="'dot' has 2 annotated frame"):
        score_folders(gt, pred)
    assert "dot" not in score_folders(gt, pred, skip_short=True)["sequences"]


def test_meta_files_of_youtube_vos_are_found_beside_the_masks(folders, tmp_path):
    gt, pred = folders
    videos = {name: {"objects": {"2": {"category": name, "frames": numbered(5)}}} for name in ("ant", "bee")}
    (tmp_path / "meta.json").write_text(json.dumps({"videos": videos}))
    (tmp_path / "train.json").write_text(json.dumps({"videos": {"bee": videos["bee"]}}))

    scores = score_folders(gt, pred, "ytvos", train_meta=tmp_path / "train.json")

    assert scores["sequences"].keys() == {"ant", "bee"}
    assert scores["overall"]["J_seen"] == scores["sequences"]["bee"]["mean"]["J_mean"]
    assert scores["overall"]["J_unseen"] == scores["sequences"]["ant"]["mean"]["J_mean"]


def test_lvos_takes_ranges_and_the_list_of_unseen_videos(tmp_path):
    names = [f"{number:08d}" for number in range(1, 31, 5)]
    life = {"start": "00000001", "end": "00000026", "frame_nums": "6"}
    for place, name in enumerate(["old", "new"]):
        save(tmp_path / "gt" / name, names, [blobs(place + index, 30, 40) | 1 for index in range(6)])
        save(tmp_path / "pred" / name, names, [blobs(place + index, 30, 40) | 1 for index in range(6)])
    (tmp_path / "m.json").write_text(
        json.dumps({"videos": {name: {"objects": {"1": {"frame_range": life}}} for name in ("old", "new")}})
    )
    (tmp_path / "unseen.txt").write_text("new\n")

    scores = score_folders(tmp_path / "gt", tmp_path / "pred", "lvos", meta=tmp_path / "m.json", unseen=tmp_path / "unseen.txt")

    assert scores["sequences"]["old"]["frames"] == names[1:-1]
    assert (scores["overall"]["J_unseen"], scores["overall"]["V"], scores["overall"]["J&F"]) == (1.0, 0.0, 1.0)


def test_a_protocol_with_a_meta_file_says_where_it_looked(folders):
    with pytest.raises(ConfigError, match=r"needs the split's meta file and .*meta\.json is not there; give meta="):
        score_folders(*folders, "ytvos")


def test_a_meta_file_of_another_shape_is_named(folders, tmp_path):
    (tmp_path / "meta.json").write_text('{"videos": {"ant": {"objects": {"1": {}}}}}')

    with pytest.raises(DatasetError, match=r"meta\.json: this is not a meta file of the protocol"):
        score_folders(*folders, "ytvos")


def test_folders_that_share_no_sequence_are_an_error(folders, tmp_path):
    (tmp_path / "empty").mkdir()

    with pytest.raises(DatasetError, match="no sequence folder has a counterpart"):
        score_folders(folders[0], tmp_path / "empty")
