"""The report's part on scores: headline, sequences, frames, attributes, with overlays as inline images."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vosbench.errors import RunError
from vosbench.metrics.summary import mean_by_attribute
from vosbench.reporting.break_down import SequenceRow, per_frame, ranked, sequence_rows
from vosbench.reporting.charts import Line, line_chart
from vosbench.reporting.markup import Markup, element, joined
from vosbench.reporting.run_contents import RunContents
from vosbench.reporting.tables import SECONDS, percent, result_table

_SHOWN = 3  # worst and best sequences
_MOST_IMAGES = 60  # below the charts; more would make a page that is slow to open
_HEAVY = 120_000  # bytes; a larger image is scaled down before it is put into the page
_INLINE_WIDTH = 960  # pixels
_STATISTICS = {"mean": "mean", "recall": "recall (share of frames above 0.5)", "decay": "decay (first quarter minus last)"}


def tiles(run: RunContents) -> Markup:
    """The headline numbers."""
    assert run.scores is not None
    table = result_table(run.method, run.scores)
    row = table.rows[0]
    shown: list[tuple[str, str]] = []
    for head in ("G", "J&F", "J", "F"):
        if head in row.values:
            shown.append((head, percent(row.values[head])))
    if row.seconds_per_frame is not None:
        shown.append(("seconds a frame", f"{row.seconds_per_frame:.3f}"))
    rows = sequence_rows(run.scores)
    shown.append(("sequences / objects", f"{len(rows)} / {sum(item.objects for item in rows)}"))
    cards = [element("div", element("b", text), element("span", head), class_="tile") for head, text in shown]
    return element("div", *cards, class_="tiles")


def result_section(run: RunContents, scores: Mapping[str, Any]) -> Markup:
    """The result table beside floors and published rows, and recall and decay below it."""
    table = result_table(run.method, scores, floors=run.floors, dataset=run.dataset)
    heads = ["method", *table.columns, SECONDS]
    rows = []
    for row in table.rows:
        rows.append(element("tr", *(element("td", cell) for cell in (row.label(), *row.cells())), class_=row.kind))
    lines = [element("p", line, class_="quiet") for line in table.lines_below()]
    return joined(_table(heads, rows), *lines, _statistics(scores["overall"]))


def _statistics(overall: Mapping[str, Any]) -> Markup | None:
    """Mean, recall and decay of J and F, where the protocol has more than the mean."""
    known = [kind for kind in _STATISTICS if overall.get(f"J_{kind}") is not None]
    if known in ([], ["mean"]):
        return None
    rows = [
        element("tr", element("td", _STATISTICS[kind]), *(element("td", percent(overall.get(f"{of}_{kind}"))) for of in "JF"))
        for kind in known
    ]
    return _table(["over all objects", "J", "F"], rows)


def highlights(run: RunContents, scores: Mapping[str, Any]) -> Markup | None:
    """The worst and the best sequences with their overlays."""
    names = _highlighted(scores)
    if len(names) == 0:
        return None
    rows = {row.name: row for row in ranked(scores)}
    cards = []
    for name in names:
        pictures = _pictures(run.overlays.get(name, [])[:4])
        cards.append(element("div", element("h3", name, _score(rows[name])), pictures, _chart(scores, name), class_="card"))
    return element("div", *cards, class_="pair")


def _highlighted(scores: Mapping[str, Any]) -> list[str]:
    """Up to three worst sequences, then up to three best ones, no sequence twice."""
    rows = ranked(scores)
    worst = rows[: min(_SHOWN, (len(rows) + 1) // 2)]
    best = rows[len(worst) :][-_SHOWN:]
    return [row.name for row in [*worst, *best]]


def sequence_table(scores: Mapping[str, Any]) -> Markup:
    """All sequences; a press on a column's head sorts."""
    heads = ["sequence", "frames", "objects", "J", "F", "J&F", "worst frame"]
    rows = []
    for row in sequence_rows(scores):
        worst = _worst_frame(scores["sequences"][row.name])
        cells = [element("td", element("a", row.name, href=f"#{_anchor(scores, row.name)}"))]
        cells += [element("td", count, data_value=count) for count in (row.frames, row.objects)]
        cells += [_sortable(percent(value), value) for value in (row.j, row.f, row.jf)]
        cells.append(_sortable(*worst) if worst else _sortable(percent(None), None))
        rows.append(element("tr", *cells))
    return _table([element("button", head, type="button") for head in heads], rows, "sortable")


def _sortable(text: str, value: float | None) -> Markup:
    """A cell that knows its number; what has none sorts below all that have."""
    return element("td", text, data_value=-1 if value is None else round(value, 6))


def _worst_frame(sequence: Mapping[str, Any]) -> tuple[str, float] | None:
    """ "00012 (31.0)" and its J&F."""
    both = zip(sequence["frames"], per_frame(sequence, "J"), per_frame(sequence, "F"), strict=True)
    known = [((j + f) / 2, name) for name, j, f in both if j is not None and f is not None]
    if not known:
        return None
    value, name = min(known)
    return f"{name} ({percent(value)})", value


def attribute_section(run: RunContents, scores: Mapping[str, Any]) -> Markup | None:
    """J&F of the objects with an attribute, the hardest first."""
    means = mean_by_attribute(scores, run.attributes)
    if not means:
        return None
    rows = [
        element("tr", element("td", name), element("td", str(mean["objects"])), element("td", percent(mean["J&F"])))
        for name, mean in sorted(means.items(), key=lambda item: item[1]["J&F"])
    ]
    return _table(["attribute", "objects", "J&F"], rows)


def sequence_charts(run: RunContents, scores: Mapping[str, Any]) -> Markup:
    """J and F over the frames of every sequence, folded, with its overlays where they are not shown above."""
    shown_above = set(_highlighted(scores))
    rows = {row.name: row for row in sequence_rows(scores)}
    room = _MOST_IMAGES
    folds = []
    for name in scores["sequences"]:
        paths = [] if name in shown_above else run.overlays.get(name, [])[:room]
        room -= len(paths)
        folds.append(
            element(
                "details",
                element("summary", name, _score(rows[name])),
                _pictures(paths),
                _chart(scores, name),
                id=_anchor(scores, name),
            )
        )
    left_out = sum(len(paths) for paths in run.overlays.values()) > _MOST_IMAGES
    note = element("p", f"More overlays lie in {run.folder / 'overlays'}.", class_="quiet") if left_out else None
    return joined(*folds, note)


def _chart(scores: Mapping[str, Any], name: str) -> Markup:
    sequence = scores["sequences"][name]
    x = [float(index) for index in range(len(sequence["frames"]))]
    lines = [Line(measure, x, [None if y is None else 100 * y for y in per_frame(sequence, measure)]) for measure in ("J", "F")]
    return line_chart(lines, "frame", (0.0, 100.0), sequence["frames"])


def _score(row: SequenceRow) -> Markup:
    return element("span", f"  J&F {percent(row.jf)}", class_="score")


def _anchor(scores: Mapping[str, Any], name: str) -> str:
    # Its number, not its name: a name may hold what an address cannot.
    return f"sequence-{list(scores['sequences']).index(name)}"


def _table(heads: Sequence[str], rows: Sequence[Markup], class_: str | None = None) -> Markup:
    head = element("thead", element("tr", *(element("th", text, scope="col") for text in heads)))
    return element("div", element("table", head, element("tbody", *rows), class_=class_), class_="wide")


def _pictures(paths: Sequence[Path]) -> Markup | None:
    return element("div", *(_inline(path) for path in paths), class_="shots" if len(paths) > 1 else None) if paths else None


def _inline(path: Path) -> Markup:
    """An image file inside the page; a heavy one is scaled down to what a screen shows."""
    data = path.read_bytes()
    kind = "png" if path.suffix.lower() == ".png" else "jpeg"
    if len(data) > _HEAVY:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise RunError(f"{path} is no readable image; remove it, or repeat the task that writes the overlays.")
        if (scale := _INLINE_WIDTH / image.shape[1]) < 1:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        data, kind = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes(), "jpeg"
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return element("img", src=source, alt=f"Overlay {path.stem}", loading="lazy")
