"""report.html: self-contained, escaped, and with the right numbers."""

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.reporting.example import NASTY, example_scores
from vosbench.errors import RunError
from vosbench.reporting.report import write_report
from vosbench.reporting.written_beside import write_image

EMPTY = {"meta", "img", "br", "line", "path", "circle", "rect"}


class Page(HTMLParser):
    """Parses strictly: every element is closed in order. Collects texts, attributes and elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if self.open and self.open[-1] not in ("script", "style") and {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


@pytest.fixture
def run_folder(tmp_path) -> Path:
    folder = tmp_path / "stma" / "2024-01-01"
    (folder / "floors").mkdir(parents=True)
    scores = {**example_scores(), "method": "stma", "dataset": "davis17/val", "seconds_per_frame": 0.25}
    (folder / "scores.json").write_text(json.dumps(scores))
    floor = {**example_scores(), "overall": {"J_mean": 0.2, "F_mean": 0.3, "J&F": 0.25}}
    (folder / "floors" / "repeat.json").write_text(json.dumps(floor))
    (folder / "attributes.json").write_text(json.dumps({"bear": {"1": ["fast"]}, NASTY: {"1": ["small", "fast"], "2": []}}))
    (folder / "config.yaml").write_text("method:\n  lr: 1e-4\n  note: '<b>& so on'\n")
    (folder / "environment.json").write_text(json.dumps({"torch": "2.15", "git": {"revision": "abc<def"}, "devices": [1, 2]}))
    (folder / "metrics.csv").write_text(
        "step,stage,train/loss,val/jf\n0,static,2.0,\n10,static,1.5,\n0,video,1.0,\n10,video,nan,\n20,video,0.5,0.6\n"
    )
    write_image(folder / "overlays" / "bear_00001.png", np.full((20, 30, 3), 90, np.uint8))
    write_image(folder / "overlays" / "bear_00002.jpg", np.full((20, 30, 3), 90, np.uint8))
    return folder


def test_the_report_is_well_formed_and_refers_to_nothing_outside(run_folder):
    path = write_report(run_folder)

    html = path.read_text()
    page = Page(html)
    outside = ("src", "href", "action", "srcset", "data", "poster", "xlink:href", "background")
    addresses = [value for _, name, value in page.attributes if name in outside]
    assert path == run_folder / "report.html"
    assert page.open == []
    assert "http:" not in html
    assert "https:" not in html
    assert "@import" not in html
    assert "link" not in page.tags
    assert addresses != []
    assert [value for value in addresses if not value.startswith(("data:image/", "#"))] == []


def test_a_nasty_sequence_name_is_shown_and_does_nothing(run_folder):
    html = write_report(run_folder).read_text()

    page = Page(html)
    assert NASTY not in html
    assert NASTY in page.texts
    assert page.tags.count("script") == 1
    assert "'<b>& so on'" in "".join(page.texts)


def test_links_inside_the_page_have_their_target(run_folder):
    page = Page(write_report(run_folder).read_text())

    targets = {value for _, name, value in page.attributes if name == "id"}
    links = {value.removeprefix("#") for _, name, value in page.attributes if name == "href"}
    assert links <= targets
    assert {"result", "sequences", "training", "sequence-0", "sequence-1"} <= links


def test_the_tables_hold_the_scores_in_percent(run_folder):
    rows = Page(write_report(run_folder).read_text()).rows

    assert ["stma", "63.3", "56.7", "60.0", "0.250"] in rows
    assert ["repeat (floor)", "20.0", "30.0", "25.0", "–"] in rows
    assert ["STMA, video only (STMA, Table 3)", "86.0", "91.8", "88.9", "–"] in rows
    # bear: J (1.0 + 0.8) / 2, F (0.8 + 0.6) / 2; its worst frame is the second, (0.8 + 0.6) / 2
    assert ["bear", "2", "1", "90.0", "70.0", "80.0", "00002 (70.0)"] in rows
    # two objects: J (0.4 + 0.6) / 2, F (0.2 + 0.8) / 2; frame 3: J (0.1 + 0.4) / 2, F (0.2 + 0.8) / 2
    assert [NASTY, "3", "2", "50.0", "50.0", "50.0", "00003 (37.5)"] in rows
    assert ["recall (share of frames above 0.5)", "50.0", "75.0"] in rows


def test_attributes_are_ordered_from_hard_to_easy(run_folder):
    rows = Page(write_report(run_folder).read_text()).rows

    # fast: bear 0.8 and the other sequence's object 1, (0.4 + 0.2) / 2 = 0.3
    start = rows.index(["attribute", "objects", "J&F"])
    assert rows[start + 1 : start + 3] == [["small", "1", "30.0"], ["fast", "2", "55.0"]]


def test_overlays_are_inside_the_page(run_folder):
    page = Page(write_report(run_folder).read_text())

    sources = [value for tag, name, value in page.attributes if (tag, name) == ("img", "src")]
    assert [source.partition(",")[0] for source in sources] == ["data:image/png;base64", "data:image/jpeg;base64"]


def test_a_heavy_overlay_is_scaled_down(run_folder):
    noise = np.random.default_rng(0).integers(0, 256, (1000, 2800, 3), dtype=np.uint8)
    heavy = write_image(run_folder / "overlays" / "bear.png", noise)

    html = write_report(run_folder).read_text()

    assert len(html) < heavy.stat().st_size / 4


def test_facts_and_the_command_are_shown(run_folder):
    page = Page(write_report(run_folder).read_text())

    assert ["git.revision", "abc<def"] in page.rows
    assert ["devices", "[1, 2]"] in page.rows
    assert f"python -m vosbench.tasks.job {run_folder}" in page.texts


def test_a_run_that_was_not_scored_still_shows_its_training(run_folder):
    (run_folder / "scores.json").unlink()

    page = Page(write_report(run_folder).read_text())

    assert "This run has no scores.json: it was not evaluated." in page.texts
    assert "train/loss" in page.texts


def test_scores_alone_are_enough(tmp_path):
    (tmp_path / "scores.json").write_text(json.dumps(example_scores()))

    page = Page(write_report(tmp_path).read_text())

    assert page.open == []
    assert "Training" not in page.texts


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"found none of scores\.json, metrics\.csv, config\.yaml; give the folder of a run"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("scores.json", '{"protocol": "davis", "over', "scores.json is no JSON"),
        ("scores.json", '{"protocol": "davis"}', "scores.json lacks one of the keys protocol, overall, sequences"),
        ("floors/repeat.json", "[]", "repeat.json lacks one of the keys overall"),
        ("metrics.csv", "step,stage,train/loss\n1,video,abc\n", "metrics.csv, line 2: could not convert"),
        ("metrics.csv", "step,stage,train/loss\n,video,1.0\n", "metrics.csv, line 2: the column 'step' is empty"),
        ("config.yaml", "a: [1,\n", "config.yaml is no readable YAML"),
        ("overlays/bear_00003.jpg", "x" * 400_000, "bear_00003.jpg is no readable image"),
    ],
)
def test_a_damaged_file_is_named(run_folder, name, content, sentence):
    (run_folder / name).write_text(content)

    with pytest.raises(RunError, match=sentence):
        write_report(run_folder)

    assert not (run_folder / "report.html").exists()
