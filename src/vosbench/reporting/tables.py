"""The result table: a method beside the floors and, on a published benchmark, beside the papers' numbers."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from vosbench.reporting.published import PublishedRow, published

# Column head -> key of "overall" in scores.json. Every protocol ends with the three that all of them have.
_COMMON = {"J": "J_mean", "F": "F_mean", "J&F": "J&F"}
_SEEN = {"J seen": "J_seen", "F seen": "F_seen", "J unseen": "J_unseen", "F unseen": "F_unseen"}
# LVOS averages its J, F and V (stability, lower is better) over the two groups, not over the objects.
_LVOS = {**_SEEN, "J": "J", "F": "F", "J&F": "J&F", "V": "V"}
_BOXES = {"box IoU": "box_iou"}
COLUMNS: dict[str, dict[str, str]] = {"ytvos": {"G": "G", **_SEEN, **_COMMON}, "lvos": _LVOS}
SECONDS = "s/frame"
ABSENT = "–"


def columns_of(scores: Mapping[str, Any]) -> dict[str, str]:
    """Column heads for these scores and the keys of "overall" behind them.

    Where the protocol has seen and unseen groups but nobody said what is seen, the columns that all protocols have. A run from
    boxes also has the overlap of its boxes.
    """
    has_groups = any(scores["overall"].get(key) is not None for key in _SEEN.values())
    columns = COLUMNS.get(scores["protocol"], _COMMON) if has_groups else _COMMON
    return {**columns, **_BOXES} if scores["overall"].get("box_iou") is not None else columns


def percent(value: float | None) -> str:
    """A score of [0, 1] as percent with one decimal, or a dash."""
    return ABSENT if value is None else f"{100 * value:.1f}"


@dataclass(frozen=True)
class Row:
    """One line of the table; `values` in [0, 1] by column head, None where there is no number."""

    name: str
    kind: str  # measured, floor or published
    values: dict[str, float | None]
    seconds_per_frame: float | None = None
    source: str = ""  # paper and table of a published row
    prompt: str = ""  # "mask" or "box", where a run from boxes stands beside others; the setting of a published row tells its own

    def label(self) -> str:
        """The name and what it stands for, as the table shows it; the measured row is the method itself."""
        what = ", ".join(part for part in (self.prompt, "" if self.kind == "measured" else self.source or self.kind) if part)
        return f"{self.name} ({what})" if what else self.name

    def cells(self) -> list[str]:
        """The numbers as they are shown."""
        seconds = ABSENT if self.seconds_per_frame is None else f"{self.seconds_per_frame:.3f}"
        return [*map(percent, self.values.values()), seconds]


@dataclass(frozen=True)
class ResultTable:
    """What a run ends with: its own row first, then the floors, then what was published."""

    columns: list[str]
    rows: list[Row]
    dataset: str | None = None
    run_folder: Path | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        return f"{self.rows[0].name} on {self.dataset}" if self.dataset else self.rows[0].name

    def margin(self) -> str | None:
        """One sentence: how far the method lies above or below the best floor. None without a floor to compare with."""
        method = self.rows[0]
        for column in ("G", "J&F"):  # G leads where it exists; it is null where nothing is unseen
            # A floor that is given a mask is none for a method that is given a box.
            rivals = [row for row in self.rows if row.kind == "floor" and row.prompt == method.prompt]
            floors = {row.name: row.values.get(column) for row in rivals}
            known = {name: value for name, value in floors.items() if value is not None}
            own = method.values.get(column)
            if own is None or not known:
                continue
            best = max(known, key=known.__getitem__)
            points = 100 * (own - known[best])
            return f"{column} is {abs(points):.1f} points {'below' if points < 0 else 'above'} the best floor ({best})."
        return None

    def lines_below(self) -> list[str]:
        """Sentences that belong under the table."""
        lines = [*self.notes]
        if margin := self.margin():
            lines.append(margin)
        if any(row.kind == "published" for row in self.rows):
            lines.append(f"Published rows: {SECONDS} is on the paper's hardware, scores are as printed.")
        if self.run_folder is not None:
            lines.append(f"Run folder: {self.run_folder}")
        return lines

    def markdown(self) -> str:
        """The table in Markdown, the lines below it included."""
        head = ["method", *self.columns, SECONDS]
        lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
        for row in self.rows:
            name = f"**{row.label()}**" if row.kind == "measured" else row.label()
            lines.append(f"| {' | '.join([name.replace('|', chr(92) + '|'), *row.cells()])} |")
        return "\n".join([*lines, "", *self.lines_below()]) + "\n"

    def csv(self) -> str:
        """The table as CSV with scores in [0, 1], not rounded."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["method", "kind", "source", *self.columns, "seconds_per_frame"])
        for row in self.rows:
            numbers = ["" if value is None else repr(value) for value in [*row.values.values(), row.seconds_per_frame]]
            writer.writerow([row.name, row.kind, row.source, *numbers])
        return text.getvalue()

    def print(self, console: Console | None = None) -> None:
        """Print the table."""
        console = console or Console()
        # Names are Text, so that one like "[bold]" is shown and not obeyed.
        table = Table(title=Text(self.title), title_justify="left")
        table.add_column("method", no_wrap=True)
        for head in [*self.columns, SECONDS]:
            table.add_column(head, justify="right", no_wrap=True)
        for row, following in zip(self.rows, [*self.rows[1:], None], strict=True):
            style = {"measured": "bold", "floor": "", "published": "dim"}[row.kind]
            ends_block = following is not None and following.kind != row.kind
            table.add_row(Text(row.label()), *row.cells(), style=style, end_section=ends_block)
        # Wider than the terminal rather than without names: numbers squeezed into 80 columns leave none for them.
        needed = Measurement.get(console, console.options.update(max_width=400), table).maximum
        wide = console if console.width >= needed else Console(file=console.file, width=needed)
        wide.print(table)
        for line in self.lines_below():
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def result_table(
    method: str,
    scores: Mapping[str, Any],
    *,
    floors: Mapping[str, Mapping[str, Any]] | None = None,
    dataset: str | None = None,
    run_folder: Path | None = None,
    baselines: bool = False,
) -> ResultTable:
    """The table of one evaluation.

    `scores` and the values of `floors` (by name: repeat, nearest) have the form of scores.json; their optional key
    "seconds_per_frame" fills the last column. The method's own published rows on `dataset` ("davis17/val") follow, with
    `baselines` those of the methods that the papers compare with, too.
    """
    columns = columns_of(scores)
    from_boxes = scores.get("prompt") == "box"

    def row(name: str, kind: str, of: Mapping[str, Any]) -> Row:
        values = {head: of["overall"].get(key) for head, key in columns.items()}
        return Row(name, kind, values, of.get("seconds_per_frame"), prompt=of.get("prompt", "mask") if from_boxes else "")

    rows = [row(method, "measured", scores)] + [row(name, "floor", of) for name, of in (floors or {}).items()]
    rows += [_published_row(item, columns) for item in published(dataset, None if baselines else method)]
    return ResultTable(list(columns), rows, dataset, run_folder)


def _published_row(item: PublishedRow, columns: Mapping[str, str]) -> Row:
    # Rounded, because 84.7 / 100 is not the float 0.847.
    printed = {**item.values, "J": item.values.get("J_mean"), "F": item.values.get("F_mean")}
    shares = {key: None if value is None else round(value / 100, 6) for key, value in printed.items()}
    values = {head: shares.get(key) for head, key in columns.items()}
    fps = item.values.get("FPS")
    name = f"{item.method}, {item.setting}" if item.setting else item.method
    return Row(name, "published", values, round(1 / fps, 6) if fps else None, f"{item.paper}, {item.table}")
