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
        if path.exists():
            with path.open(newline="") as file:
                self.rows = list(csv.DictReader(file))

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
        self.save()

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """The run folder has them as config.yaml."""

    @rank_zero_only
    def save(self) -> None:
        """Write all rows; the file is replaced whole, so a reader never sees half a row."""
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, ["step", *(name for name in columns if name != "step")], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        temporary = self.path.with_name(f".{self.path.name}.part")
        temporary.write_text(text.getvalue())
        temporary.replace(self.path)
