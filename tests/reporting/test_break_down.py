"""Scores by sequence and frame, and what the report reads from a run folder."""

import pytest

from tests.reporting.example import NASTY, example_scores
from vosbench.reporting.break_down import per_frame, ranked, sequence_rows
from vosbench.reporting.run_contents import read_curves, read_run


def test_a_sequence_is_the_mean_of_its_objects():
    rows = {row.name: row for row in sequence_rows(example_scores())}

    assert (rows[NASTY].frames, rows[NASTY].objects) == (3, 2)
    assert rows[NASTY].j == pytest.approx(0.5)
    assert rows[NASTY].f == pytest.approx(0.5)
    assert rows["bear"].jf == pytest.approx(0.8)


def test_the_worst_sequence_comes_first_and_one_without_objects_is_left_out():
    scores = example_scores()
    scores["sequences"]["empty"] = {"frames": ["00001"], "objects": {}}

    assert [row.name for row in ranked(scores)] == [NASTY, "bear"]


def test_an_object_counts_in_the_frames_that_it_names():
    sequence = example_scores()["sequences"][NASTY]

    # object 2 is scored in frames 2 and 3 only
    assert per_frame(sequence, "J") == pytest.approx([0.7, (0.4 + 0.8) / 2, (0.1 + 0.4) / 2])


def test_an_object_that_leaves_early_counts_no_longer():
    early = {"J": [0.5, 0.7], "F": [0.5, 0.5], "frames": ["1", "2"]}
    sequence = {"frames": ["1", "2", "3"], "objects": {"1": early}}

    assert per_frame(sequence, "J") == [0.5, 0.7, None]


def test_a_shorter_list_without_frames_ends_with_the_sequence():
    sequence = {"frames": ["1", "2", "3"], "objects": {"1": {"J": [0.5], "F": [0.5]}}}

    assert per_frame(sequence, "J") == [None, None, 0.5]


def test_stages_are_set_one_behind_the_other(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,stage,loss\n0,static,3\n10,static,2\n0,video,1\n5,video,\n10,video,0.5\n")

    static, video = read_curves(tmp_path / "metrics.csv")["loss"]

    assert (static.name, static.x, static.y) == ("static", [0, 10], [3, 2])
    assert (video.name, video.x, video.y) == ("video", [10, 20], [1, 0.5])


def test_steps_that_go_on_over_the_stages_stay_as_they_are(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,stage,loss\n0,static,3\n10,static,2\n11,video,1\n12,video,1\n")

    lines = read_curves(tmp_path / "metrics.csv")["loss"]

    assert [line.x for line in lines] == [[0, 10], [11, 12]]


def test_an_overlay_belongs_to_the_longest_sequence_name_that_fits(tmp_path):
    scores = '{"protocol": "davis", "overall": {}, "sequences": {"bear": {}, "bear_2": {}}}'
    (tmp_path / "scores.json").write_text(scores)
    (tmp_path / "overlays").mkdir()
    for name in ("bear_00001.jpg", "bear_2_00001.jpg", "bear_2.png", "bearded_1.jpg", "note.txt"):
        (tmp_path / "overlays" / name).write_text("")

    overlays = read_run(tmp_path).overlays

    assert [path.name for path in overlays["bear"]] == ["bear_00001.jpg"]
    assert [path.name for path in overlays["bear_2"]] == ["bear_2.png", "bear_2_00001.jpg"]


@pytest.mark.parametrize(
    ("scores", "method"),
    [('"method": "qmra", ', "qmra"), ("", "stma")],
)
def test_a_run_knows_its_method_from_the_scores_or_from_its_folder(tmp_path, scores, method):
    folder = tmp_path / "stma" / "2024-01-01"
    folder.mkdir(parents=True)
    (folder / "scores.json").write_text("{" + scores + '"protocol": "davis", "overall": {}, "sequences": {}}')

    assert read_run(folder).method == method
