"""Numbers that the five papers print, to stand beside the measured ones.

`published.json` holds one row for each row of a paper's table and benchmark: the papers' own methods and the methods they
compare with; rows of challenge leaderboards that are teams and no methods are left out. Values are percent, as printed
(fractions times 100), except ``FPS``. Source: tables and text of CAPA, CAMN (CFBI+FGSTM), QMRA, LGDK and STMA.
"""

import functools
import json
import re
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class PublishedRow:
    """What one paper prints for one method on one split."""

    paper: str  # "STMA"
    table: str  # "Table 3", or "text" for a number of the running text
    row: str  # as printed, without the number of the reference
    method: str  # as the paper names it
    own: str | None  # our name of the paper's own method, None for a method that the paper compares with
    kind: str  # headline, comparison or ablation
    dataset: str  # "davis-2017"
    split: str  # "val"
    setting: str  # prompt and training data where the table tells them, else empty
    values: dict[str, float]  # metric -> percent; "FPS" -> frames per second on the paper's hardware


@functools.cache
def _all_rows() -> tuple[PublishedRow, ...]:
    text = resources.files("vosbench.reporting").joinpath("published.json").read_text(encoding="utf-8")
    return tuple(PublishedRow(**row) for row in json.loads(text))


def benchmark_of(dataset: str) -> tuple[str, str] | None:
    """The benchmark's name and split in the papers' terms: "davis17/val" -> ("davis-2017", "val").

    None where the name is no published benchmark, e.g. a part of a training set held out.
    """
    name, _, split = dataset.lower().partition("/")
    split = {"valid": "val", "valid_all_frames": "val", "testdev": "test-dev", "test_dev": "test-dev"}.get(split, split)
    if split not in ("val", "test", "test-dev"):
        return None
    if re.fullmatch(r"lvos[-_ ]?(v?1)?", name):  # the second version is another set of videos
        return "lvos", split
    if match := re.fullmatch(r"(davis|ytvos|youtube[-_ ]?vos)[-_ ]?(?:20)?(\d\d)", name):
        return f"{'davis' if match[1] == 'davis' else 'youtube-vos'}-20{match[2]}", split
    return None


def published(dataset: str | None, method: str | None = None) -> list[PublishedRow]:
    """Rows for a data set such as "davis17/val", ablations left out; with `method` ("stma"), its own paper's row alone.

    A number of the running text is given only where no table of that paper has the same method on that split.
    Empty where nothing was published for it.
    """
    benchmark = benchmark_of(dataset) if dataset else None
    rows = [row for row in _all_rows() if (row.dataset, row.split) == benchmark and method in (None, row.own)]
    in_a_table = {(row.paper, row.own) for row in rows if row.kind == "comparison"}
    return [
        row for row in rows if row.kind == "comparison" or (row.kind == "headline" and (row.paper, row.own) not in in_a_table)
    ]
