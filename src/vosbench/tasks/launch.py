"""Start the job of a run folder as a process of its own, hand signals on to it, and say how it ended.

A process for each job, because Lightning, wandb and torch.distributed leave their marks in the one they ran in: after a
DDP run in the same process the next one finds LOCAL_RANK set and silently trains alone.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from vosbench.errors import ConfigError
from vosbench.tasks.run_folder import Status, read_status, write_status

RANK_VARIABLES = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT")
PATIENCE = 3  # signals after which a job that does not end is killed


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    exit_code: int
    interrupted: bool = False  # Ctrl-C or SIGTERM came to us meanwhile


def launch(run_dir: Path, config: Mapping[str, Any]) -> Outcome:
    """Run the job of a folder to its end. status.json tells the end also when the job itself could not."""
    trainer = config.get("trainer") or {}
    if (config.get("job") or {}).get("inline"):
        return Outcome(_inline(run_dir, trainer))
    process = subprocess.Popen(
        command(run_dir, trainer),
        env=child_environment(os.environ, trainer),
        stdin=subprocess.DEVNULL,
        process_group=0,  # a group of its own: Ctrl-C reaches it once, through us
    )
    with _forwarded(process) as received:
        code = _exit_code(process.wait())
    if trainer.get("node_rank", 0) == 0:  # the other nodes leave the status to node 0
        code = _settled(run_dir, code, tell=is_distributed(trainer))
    return Outcome(code, bool(received))


def command(run_dir: Path, trainer: Mapping[str, Any]) -> list[str]:
    """What is started: Python itself for one device, torch's launcher for several."""
    job = ["-m", "vosbench.tasks.job", str(run_dir)]
    if not is_distributed(trainer):
        return [sys.executable, *job]
    launcher = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={trainer['devices']}"]
    if trainer.get("nodes", 1) == 1:
        return [*launcher, "--standalone", *job]
    return [
        *launcher,
        f"--nnodes={trainer['nodes']}",
        f"--node-rank={trainer.get('node_rank', 0)}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={trainer['rendezvous']}",
        f"--rdzv-id={run_dir.name}",
        *job,
    ]


def is_distributed(trainer: Mapping[str, Any]) -> bool:
    """Whether the job is more than one process."""
    return trainer.get("devices", 1) * trainer.get("nodes", 1) > 1


def child_environment(mine: Mapping[str, str], trainer: Mapping[str, Any]) -> dict[str, str]:
    """The job's environment: ours, without a launcher's marks."""
    theirs = {name: value for name, value in mine.items() if name not in RANK_VARIABLES}
    if trainer.get("threads"):
        theirs["OMP_NUM_THREADS"] = str(trainer["threads"])
    elif is_distributed(trainer):  # torch's launcher would take one and warn
        theirs.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // trainer["devices"])))
    # Threads that wait spin by default, and on a busy or small machine they spin against those that work: a step that takes
    # a third of a second was seen to take half a minute.
    theirs.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return theirs


def _inline(run_dir: Path, trainer: Mapping[str, Any]) -> int:
    from vosbench.tasks.job import run_job, start_logging

    if is_distributed(trainer):
        raise ConfigError("job.inline=true runs one process only; add trainer.devices=1 trainer.nodes=1.")
    start_logging(run_dir)
    return run_job(run_dir)


@contextmanager
def _forwarded(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM go to the job, which we wait for; the third one kills it. Yields the signals received."""
    received: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if process.poll() is None:
            os.killpg(process.pid, number if len(received) < PATIENCE else signal.SIGKILL)

    if threading.current_thread() is not threading.main_thread():  # a thread of a launcher: handlers are not ours to set
        yield received
        return
    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit_code(code: int) -> int:
    """A process ended by signal 9 has status 137, as in a shell."""
    return 128 - code if code < 0 else code


def _settled(run_dir: Path, code: int, tell: bool) -> int:
    """The job's own exit code, from status.json where torch's launcher replaced it."""
    status = read_status(run_dir) or Status("queued", created=time.time())
    if code == 0:
        if status.state != "done":
            write_status(run_dir, replace(status, state="done", ended=time.time(), exit_code=0))
        return 0
    if status.state != "failed":  # killed: it could not tell itself
        reason = f"The job was ended by signal {code - 128}." if code > 128 else f"The job left with status {code}."
        status = replace(status, state="failed", ended=time.time(), exit_code=code, error=reason)
        write_status(run_dir, status)
    if tell and status.error:
        sys.stderr.write(f"{status.error}\n")  # again, below what torch's launcher has printed
    return status.exit_code or code
