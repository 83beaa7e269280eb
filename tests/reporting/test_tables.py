"""Result tables and the papers' numbers in them."""

import csv
import io

import pytest
from rich.console import Console

from tests.reporting.example import NASTY, example_scores, overall_only
from vosbench.reporting.published import benchmark_of, published
from vosbench.reporting.tables import result_table


def davis(j: float, f: float, **more: float) -> dict:
    return {**overall_only("davis", J_mean=j, F_mean=f, **{"J&F": (j + f) / 2}), **more}


def printed(table) -> str:
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    table.print(console)
    return console.file.getvalue()


def test_scores_are_percent_with_one_decimal():
    table = result_table("stma", davis(0.8125, 0.7551, seconds_per_frame=0.03456))

    assert table.columns == ["J", "F", "J&F"]
    assert table.rows[0].cells() == ["81.2", "75.5", "78.4", "0.035"]


def test_the_margin_is_over_the_better_floor():
    floors = {"repeat": davis(0.25, 0.35), "nearest": davis(0.5, 0.6)}

    table = result_table("stma", davis(0.75, 0.95), floors=floors)

    # 85 - 55
    assert table.margin() == "J&F is 30.0 points above the best floor (nearest)."


def test_a_method_below_the_floor_is_told_so():
    assert result_table("stma", davis(0.3, 0.3), floors={"repeat": davis(0.5, 0.5)}).margin() == (
        "J&F is 20.0 points below the best floor (repeat)."
    )


def test_a_run_from_boxes_says_what_every_row_was_given_and_is_measured_against_boxes_alone():
    floors = {"repeat": davis(0.6, 0.6, prompt="mask"), "repeat_box": davis(0.25, 0.15, prompt="box")}
    scores = davis(0.5, 0.5, prompt="box")
    scores["overall"]["box_iou"] = 0.625

    table = result_table("qmra", scores, floors=floors, dataset="davis16/val")

    assert [row.label() for row in table.rows[:3]] == ["qmra (box)", "repeat (mask, floor)", "repeat_box (box, floor)"]
    assert table.rows[3].label() == "QMRA, box prompt, pre-trained on static+COCO (QMRA, Table 1)"
    assert table.columns == ["J", "F", "J&F", "box IoU"]
    assert [row.cells()[3] for row in table.rows[:2]] == ["62.5", "–"]
    assert table.margin() == "J&F is 30.0 points above the best floor (repeat_box)."
    assert "repeat_box (box, floor)" in printed(table)
    assert "| **qmra (box)** |" in table.markdown()


def test_where_all_are_given_masks_nobody_says_so():
    table = result_table("stma", davis(0.5, 0.5, prompt="mask"), floors={"repeat": davis(0.6, 0.6, prompt="mask")})

    assert [row.label() for row in table.rows] == ["stma", "repeat (floor)"]


def test_without_floors_there_is_no_margin():
    assert result_table("repeat", davis(0.3, 0.3)).margin() is None


def test_youtube_vos_has_the_columns_of_g_and_its_margin_is_in_g():
    numbers = {
        "G": 0.7,
        "J_seen": 0.8,
        "F_seen": 0.9,
        "J_unseen": 0.5,
        "F_unseen": 0.6,
        "J_mean": 0.7,
        "F_mean": 0.8,
        "J&F": 0.75,
    }
    scores = overall_only("ytvos", **numbers)
    floor = overall_only("ytvos", **{**numbers, "G": 0.2})

    table = result_table("stma", scores, floors={"repeat": floor})

    assert table.columns == ["G", "J seen", "F seen", "J unseen", "F unseen", "J", "F", "J&F"]
    assert table.rows[0].cells() == ["70.0", "80.0", "90.0", "50.0", "60.0", "70.0", "80.0", "75.0", "–"]
    assert table.margin() == "G is 50.0 points above the best floor (repeat)."


def test_where_nothing_is_unseen_g_is_a_dash_and_the_margin_is_in_jf():
    numbers = {"G": None, "J_seen": 0.8, "F_seen": 0.9, "J_unseen": None, "F_unseen": None}
    scores = overall_only("ytvos", **numbers, J_mean=0.8, F_mean=0.9, **{"J&F": 0.85})
    floor = overall_only("ytvos", **numbers, J_mean=0.4, F_mean=0.4, **{"J&F": 0.4})

    table = result_table("stma", scores, floors={"repeat": floor})

    assert table.rows[0].cells()[0] == "–"
    assert table.margin() == "J&F is 45.0 points above the best floor (repeat)."


def test_groups_that_nobody_named_have_no_columns():
    groups = {"G": None, "J_seen": None, "F_seen": None, "J_unseen": None, "F_unseen": None}
    scores = overall_only("ytvos", **groups, J_mean=0.8, F_mean=0.9, **{"J&F": 0.85})

    assert result_table("stma", scores).columns == ["J", "F", "J&F"]


def test_lvos_averages_over_its_groups_and_has_the_published_row_beside_it():
    groups = {"J_seen": 0.6, "F_seen": 0.8, "J_unseen": 0.4, "F_unseen": 0.6, "J": 0.5, "F": 0.7, "V": 0.25}
    scores = overall_only("lvos", J_mean=0.55, F_mean=0.75, **groups, **{"J&F": 0.6})

    table = result_table("stma", scores, dataset="lvos/test")

    assert table.columns == ["J seen", "F seen", "J unseen", "F unseen", "J", "F", "J&F", "V"]
    assert table.rows[0].cells() == ["60.0", "80.0", "40.0", "60.0", "50.0", "70.0", "60.0", "25.0", "–"]
    # STMA, Table 4, last row
    assert table.rows[-1].cells() == ["–", "–", "–", "–", "53.3", "61.5", "57.4", "–", "–"]


def test_a_published_benchmark_shows_the_papers_rows_of_that_method():
    table = result_table("stma", davis(0.5, 0.5), dataset="davis17/val")

    shown = [(row.name, row.source, row.cells()) for row in table.rows if row.kind == "published"]
    # STMA, Table 3, DAVIS 2017 val: J, F, J&F of the three training recipes
    assert shown == [
        ("STMA, video only", "STMA, Table 3", ["86.0", "91.8", "88.9", "–"]),
        ("STMA, pre-trained on static", "STMA, Table 3", ["87.3", "93.5", "90.4", "–"]),
        ("STMA, pre-trained on static+BL30K", "STMA, Table 3", ["87.8", "93.9", "90.8", "–"]),
    ]


def test_a_published_speed_becomes_seconds_a_frame():
    table = result_table("qmra", davis(0.5, 0.5), dataset="davis17/val")

    # QMRA, Table 2: J&F 71.9 at 6.3 frames per second
    assert [row.cells() for row in table.rows[1:]] == [["–", "–", "71.9", "0.159"]]


@pytest.mark.parametrize("dataset", ["procedural/val", "davis17/train", "davis16/holdout", "lvos2/val", None])
def test_nothing_is_shown_where_nothing_was_published(dataset):
    assert published(dataset) == []
    assert len(result_table("stma", davis(0.5, 0.5), dataset=dataset).rows) == 1


@pytest.mark.parametrize(
    ("dataset", "benchmark"),
    [
        ("davis17/val", ("davis-2017", "val")),
        ("davis2016/val", ("davis-2016", "val")),
        ("davis17/test-dev", ("davis-2017", "test-dev")),
        ("ytvos18/valid", ("youtube-vos-2018", "val")),
        ("youtube_vos_2019/valid_all_frames", ("youtube-vos-2019", "val")),
        ("lvos/test", ("lvos", "test")),
        ("youtube_vos/val", None),  # the year decides
    ],
)
def test_data_sets_find_their_benchmark(dataset, benchmark):
    assert benchmark_of(dataset) == benchmark


@pytest.mark.parametrize(
    ("dataset", "method", "metric", "value"),
    [
        ("davis16/val", "qmra", "J_mean", 84.7),  # QMRA, Table 1
        ("ytvos19/val", "cfbi_fgstm", "G", 83.7),  # CAMN, text: only its ablation has a table there
        ("ytvos19/val", "lgdk", "G", 85.1),  # LGDK, text
        ("youtube-vos-2022/test", "lgdk", "G", 86.2),  # LGDK, Table 1, printed as 0.862
        ("youtube-vos-2022/test", "aot_capa", "J&F", 85.7),  # CAPA, text
    ],
)
def test_the_papers_headline_numbers_are_there(dataset, method, metric, value):
    rows = published(dataset, method)

    assert len(rows) == 1
    assert rows[0].values[metric] == value


def test_the_competitors_of_a_paper_are_found_without_a_method():
    names = {row.method for row in published("davis16/val")}

    assert {"STMA", "QMRA", "XMem", "STCN", "RANet"} <= names


def test_markdown_and_csv_hold_the_same_numbers():
    table = result_table("stma", davis(0.75, 0.25, seconds_per_frame=0.125), floors={"re|peat": davis(0.125, 0.25)})

    lines = table.markdown().splitlines()
    rows = list(csv.reader(io.StringIO(table.csv())))

    assert lines[0] == "| method | J | F | J&F | s/frame |"
    assert lines[2] == "| **stma** | 75.0 | 25.0 | 50.0 | 0.125 |"
    assert lines[3] == "| re\\|peat (floor) | 12.5 | 25.0 | 18.8 | – |"
    assert rows[0] == ["method", "kind", "source", "J", "F", "J&F", "seconds_per_frame"]
    assert rows[1] == ["stma", "measured", "", "0.75", "0.25", "0.5", "0.125"]
    assert rows[2] == ["re|peat", "floor", "", "0.125", "0.25", "0.1875", ""]


def test_the_printed_table_ends_with_margin_and_run_folder(tmp_path):
    table = result_table("stma", davis(0.75, 0.25), floors={"repeat": davis(0.125, 0.25)}, dataset="x/val", run_folder=tmp_path)

    text = printed(table)

    assert text.startswith("stma on x/val")
    assert "repeat (floor)" in text
    assert text.splitlines()[-2:] == ["J&F is 31.2 points above the best floor (repeat).", f"Run folder: {tmp_path}"]


def test_a_name_that_looks_like_markup_is_printed_as_it_is():
    text = printed(result_table(NASTY, example_scores()))

    assert NASTY in text
