"""A job is a process of its own: how it is started, told to stop, and what is left when it could not say anything."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from vosbench.errors import ConfigError
from vosbench.tasks import launch as launching
from vosbench.tasks.launch import Outcome, child_environment, command, launch
from vosbench.tasks.run_folder import Status, open_run, read_status, write_status

ONE = {"devices": 1, "nodes": 1}


@pytest.fixture
def run_dir(tmp_path):
    """A queued run."""
    return open_run({"out": None, "task": "train"}, tmp_path, [])


def performed_by(monkeypatch, script: str) -> None:
    """Let a small script be the job."""
    monkeypatch.setattr(launching, "command", lambda run_dir, trainer: [sys.executable, "-c", textwrap.dedent(script)])


def test_one_device_needs_no_launcher(tmp_path):
    assert command(tmp_path, ONE) == [sys.executable, "-m", "vosbench.tasks.job", str(tmp_path)]


def test_several_devices_are_started_by_torch(tmp_path):
    started = command(tmp_path, {"devices": 8, "nodes": 1})

    assert started[1:] == [
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=8",
        "--standalone",
        "-m",
        "vosbench.tasks.job",
        str(tmp_path),
    ]


def test_several_nodes_meet_at_the_rendezvous(tmp_path):
    started = command(tmp_path, {"devices": 4, "nodes": 2, "node_rank": 1, "rendezvous": "first:29400"})

    assert {"--nproc-per-node=4", "--nnodes=2", "--node-rank=1", "--rdzv-endpoint=first:29400"} <= set(started)
    assert "--standalone" not in started


def test_the_marks_of_another_launcher_are_removed():
    marks = dict.fromkeys(["LOCAL_RANK", "RANK", "WORLD_SIZE", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT"], "0")

    assert child_environment({"PATH": "/bin", **marks}, ONE) == {"PATH": "/bin", "OMP_WAIT_POLICY": "PASSIVE"}
    assert child_environment({}, {"devices": 1, "threads": 3}) == {"OMP_NUM_THREADS": "3", "OMP_WAIT_POLICY": "PASSIVE"}


def test_the_exit_code_is_the_jobs(monkeypatch, run_dir):
    performed_by(monkeypatch, "raise SystemExit(2)")

    assert launch(run_dir, {"trainer": ONE}) == Outcome(2)
    assert (read_status(run_dir).state, read_status(run_dir).error) == ("failed", "The job left with status 2.")


def test_a_job_that_was_killed_is_failed(monkeypatch, run_dir):
    performed_by(monkeypatch, "import os; os.kill(os.getpid(), 9)")

    assert launch(run_dir, {"trainer": ONE}) == Outcome(137)
    assert read_status(run_dir).error == "The job was ended by signal 9."


def test_under_torchs_launcher_the_jobs_own_code_and_sentence_are_passed_on(monkeypatch, run_dir, capsys):
    write_status(run_dir, Status("failed", created=1.0, started=2.0, ended=3.0, exit_code=2, error="a.png is not there."))
    performed_by(monkeypatch, "raise SystemExit(1)")

    assert launch(run_dir, {"trainer": {"devices": 2, "nodes": 1}}) == Outcome(2)
    assert capsys.readouterr().err == "a.png is not there.\n"


def test_two_processes_cannot_run_inline(run_dir):
    with pytest.raises(ConfigError, match=r"trainer.devices=1"):
        launch(run_dir, {"trainer": {"devices": 2}, "job": {"inline": True}})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_the_job_once_and_we_wait_for_its_end(tmp_path, number):
    job = f"""
    import pathlib, signal, time
    received = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: received.append(number))
    pathlib.Path({str(tmp_path / "ready")!r}).touch()
    while not received:
        time.sleep(0.01)
    time.sleep(0.3)
    pathlib.Path({str(tmp_path / "received")!r}).write_text(str([int(number) for number in received]))
    raise SystemExit(3)
    """
    front = f"""
    import sys
    from pathlib import Path
    from vosbench.tasks import launch
    launch.command = lambda run_dir, trainer: [sys.executable, "-c", {textwrap.dedent(job)!r}]
    outcome = launch.launch(Path({str(tmp_path)!r}), {{}})
    sys.exit(outcome.exit_code + 10 * outcome.interrupted)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(front)], start_new_session=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
        time.sleep(0.02)

    os.killpg(process.pid, number)  # as the terminal does: to the whole group

    assert process.wait(timeout=60) == 13
    assert (tmp_path / "received").read_text() == f"[{int(number)}]"
