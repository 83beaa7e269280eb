"""A job: dispatch, exit codes, and a status that is true whatever happens."""

import json
from types import SimpleNamespace

import pytest

from vosbench.errors import DatasetError
from vosbench.tasks import job
from vosbench.tasks.run_folder import open_run, read_status


@pytest.fixture
def run_dir(tmp_path):
    """A queued run of a task that the test brings."""
    return open_run({"out": None, "task": "train", "seed": 7}, tmp_path, ["+method=stma"])


def perform(monkeypatch, run):
    """Let `run` be the task."""
    monkeypatch.setattr(job, "_task", lambda name: SimpleNamespace(run=run))


def raising(error: BaseException):
    def run(config, run_dir):
        raise error

    return run


def test_a_job_reads_the_frozen_configuration_and_ends_done(monkeypatch, run_dir):
    seen = {}
    perform(monkeypatch, lambda config, folder: seen.update(seed=config.seed, folder=folder, state=read_status(folder).state))

    code = job.run_job(run_dir)

    assert code == 0
    assert seen == {"seed": 7, "folder": run_dir, "state": "running"}
    assert (read_status(run_dir).state, read_status(run_dir).exit_code) == ("done", 0)


def test_scores_go_into_the_status(monkeypatch, run_dir):
    perform(monkeypatch, lambda config, folder: {"overall": {"J_mean": 0.5, "F_mean": 0.75, "J&F": 0.625, "G": None}})

    job.run_job(run_dir)

    assert read_status(run_dir).scores == {"J": 0.5, "F": 0.75, "J&F": 0.625}


def test_scores_of_a_task_that_returns_none_come_from_its_file(monkeypatch, run_dir):
    content = json.dumps({"overall": {"J_mean": 0.25, "F_mean": None, "J&F": 0.5}})
    perform(monkeypatch, lambda config, folder: (folder / "scores.json").write_text(content) and None)

    job.run_job(run_dir)

    assert read_status(run_dir).scores == {"J": 0.25, "J&F": 0.5}


FAILURES = {
    "mended by the user": (DatasetError("a.png: is not there."), 2, "a.png: is not there."),
    "a defect": (RuntimeError("out of memory\ntried everything"), 1, "RuntimeError: out of memory"),
    "interrupted": (KeyboardInterrupt(), 130, "The job was interrupted."),
    "left": (SystemExit(5), 5, "The job left with status 5."),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_is_told_by_exit_code_and_status(monkeypatch, run_dir, capsys, kind):
    error, code, told = FAILURES[kind]
    perform(monkeypatch, raising(error))

    assert job.run_job(run_dir) == code

    status = read_status(run_dir)
    assert (status.state, status.exit_code, status.error) == ("failed", code, told)
    assert ("Traceback" in capsys.readouterr().err) == (kind == "a defect")


def test_only_rank_zero_says_that_a_job_is_done(monkeypatch, run_dir):
    perform(monkeypatch, lambda config, folder: None)
    monkeypatch.setenv("RANK", "1")

    assert job.run_job(run_dir) == 0
    assert read_status(run_dir).state == "queued"


def test_a_task_that_does_not_exist_is_an_error_of_the_user(tmp_path, capsys):
    folder = open_run({"out": None, "task": "paint"}, tmp_path, [])

    assert job.run_job(folder) == 2
    assert "There is no task 'paint'" in capsys.readouterr().err


def test_a_folder_that_holds_no_run_is_an_error_of_the_user(tmp_path, capsys):
    assert job.main([str(tmp_path)]) == 2
    assert "holds no config.yaml" in capsys.readouterr().err
