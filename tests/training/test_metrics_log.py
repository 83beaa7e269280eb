"""metrics.csv over interruptions."""

import csv

from vosbench.training.metrics_log import MetricsFile


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_new_column_leaves_old_rows_empty_there(tmp_path):
    log = MetricsFile(tmp_path / "metrics.csv")
    log.add({"stage": "static", "train/loss": 0.5}, 10)
    log.log_metrics({"val/jf": 0.25}, 20)
    assert rows(log.path) == [
        {"step": "10", "stage": "static", "train/loss": "0.5", "val/jf": ""},
        {"step": "20", "stage": "", "train/loss": "", "val/jf": "0.25"},
    ]


def test_a_resumed_run_forgets_what_it_will_compute_again_and_keeps_the_rest(tmp_path):
    log = MetricsFile(tmp_path / "metrics.csv")
    for step in (10, 20, 30):
        log.add({"train/loss": step / 10}, step)
    again = MetricsFile(log.path)
    again.forget_from(20)
    again.add({"train/loss": 9.0}, 30)
    assert [(row["step"], row["train/loss"]) for row in rows(log.path)] == [("10", "1.0"), ("20", "2.0"), ("30", "9.0")]


def test_half_a_row_of_a_killed_process_is_dropped_and_written_again(tmp_path):
    log = MetricsFile(tmp_path / "metrics.csv")
    for step in (10, 20):
        log.add({"train/loss": 0.5, "train/lr": 0.1}, step)
    log.path.write_text(log.path.read_text()[:-3])
    again = MetricsFile(log.path)
    again.forget_from(10)
    again.add({"train/loss": 0.25, "train/lr": 0.1}, 20)
    assert [(row["step"], row["train/loss"]) for row in rows(log.path)] == [("10", "0.5"), ("20", "0.25")]
