"""Logging an evaluation to wandb, offline."""

import numpy as np
import pytest
import wandb

from tests.reporting.example import NASTY, example_scores
from vosbench.reporting.wandb_log import log_evaluation
from vosbench.reporting.written_beside import write_image


class FakeRun:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.summary: dict[str, float] = {}
        self.logged: dict[str, object] = {}

    def log(self, values: dict[str, object]) -> None:
        self.logged.update(values)


def test_the_summary_holds_j_f_and_jf():
    run = FakeRun()

    log_evaluation(run, example_scores())

    assert run.summary == {"val/j": 0.6333333, "val/f": 0.5666667, "val/jf": 0.6}
    assert set(run.logged) == {"val/sequences", "val/objects"}


def test_tables_hold_a_row_for_each_sequence_and_each_object():
    run = FakeRun()

    log_evaluation(run, example_scores())

    sequences, objects = run.logged["val/sequences"], run.logged["val/objects"]
    assert sequences.columns == ["sequence", "frames", "objects", "J", "F", "J&F"]
    assert sequences.data[0][:3] == ["bear", 2, 1]
    assert sequences.data[0][3:] == pytest.approx([0.9, 0.7, 0.8])
    assert [row[:2] for row in objects.data] == [["bear", "1"], [NASTY, "1"], [NASTY, "2"]]
    assert objects.data[1][2:] == pytest.approx([0.4, 0.2, 0.3])


def test_an_offline_run_takes_everything_without_network_or_key(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    image = np.full((20, 30, 3), 90, np.uint8)
    path = write_image(tmp_path / "bear_00001.jpg", image)
    run = wandb.init(mode="offline", dir=str(tmp_path), settings=wandb.Settings(silent=True))

    log_evaluation(run, example_scores(), {"bear_00001": path, "bear_00002": image})
    summary = run.summary["val/jf"]
    run.finish()

    assert summary == 0.6
    assert len(list(tmp_path.glob("wandb/offline-run-*/files/media/images/val/*"))) == 2
    assert len(list(tmp_path.glob("wandb/offline-run-*/files/media/table/val/*.json"))) == 2
