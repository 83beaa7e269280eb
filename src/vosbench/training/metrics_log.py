"""`MetricsFile`: metrics.csv of a run, one row per logged step, kept over interruptions. Reports read this file alone."""

import csv
import io
from argparse import Namespace
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only


class MetricsFile(Logger):
    """Lightning's CSVLogger deletes what an earlier process of the same run wrote; this one goes on where it ended."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.rows: list[dict[str, Any]] = []
        self._columns: list[str] = []  # of the file as it stands
        if path.exists():
            # A killed process may have left half of its last row; that row is computed again.
            whole = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
            self.rows = list(csv.DictReader(whole))

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def forget_from(self, step: int) -> None:
        """Drop rows after a step: a resumed run computes them again."""
        self.rows = [row for row in self.rows if int(row["step"]) <= step]
        self.save()

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.add(dict(metrics), step)

    def add(self, row: dict[str, Any], step: int | None) -> None:
        """One row, written at once: a killed run has lost nothing that it showed."""
        self.rows.append({"step": step, **row})
        if not row.keys() <= set(self._columns):
            self.save()  # a new column: the rows before it get an empty cell
            return
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self._columns, lineterminator="\n").writerow(self.rows[-1])

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """The run folder has them as config.yaml."""

    @rank_zero_only
    def save(self) -> None:
        """Write all rows anew; the file is replaced whole."""
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        self._columns = ["step", *(name for name in columns if name != "step")]
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        temporary = self.path.with_name(f".{self.path.name}.part")
        temporary.write_text(text.getvalue())
        temporary.replace(self.path)
