"""Checkpoints of a run, written so that a run can be cut off anywhere and go on.

``RUN/checkpoints/<stage>/step0000100.ckpt`` are the states of a stage, ``RUN/last.ckpt`` links to the newest state of all
and ``RUN/best.ckpt`` to the one with the best J&F on the validation split.
"""

import signal
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from vosbench.checkpoints.files import point_to, read_checkpoint, rename
from vosbench.errors import CheckpointError
from vosbench.training.stage import Stage

KEPT = 2  # newest states of a stage that stay: one to go on from, one in case the newest cannot be read


class Interrupted(Exception):
    """The run was asked to stop; its state is saved."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by signal {signal.Signals(number).name}; the state is saved")
        self.number = number


class Recovery(pl.Callback):
    """Writes a state every `checkpoint_every` steps, at the stage's end and when the process is asked to stop."""

    def __init__(self, run_dir: Path, stage: Stage, identity: dict[str, Any]) -> None:
        """`identity`: plain values stored in every checkpoint, from which its method can be built again."""
        self.run_dir, self.stage, self.identity = run_dir, stage, identity
        self.folder = run_dir / "checkpoints" / stage.name
        self.best_jf: float | None = None
        self._saved: int | None = None  # the step whose state was written last
        self._signal: int | None = None
        self._previous: dict[int, Any] = {}

    def path_of(self, step: int) -> Path:
        """Where the state after `step` optimiser steps lies."""
        return self.folder / f"step{step:07d}.ckpt"

    def state_dict(self) -> dict[str, Any]:
        return {"best_jf": self.best_jf}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_jf = state_dict["best_jf"]

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["vosbench"] = self.identity | {"stage": self.stage.name, "step": trainer.global_step}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._note)

    def _note(self, number: int, frame: Any) -> None:
        if self._signal is not None:
            raise KeyboardInterrupt  # asked twice: the user does not want to wait for the step's end
        self._signal = number

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if self._signal is not None:
            self.save(trainer)
            raise Interrupted(self._signal)
        if step % self.stage.checkpoint_every == 0 or step == self.stage.steps:
            self.save(trainer)

    def save(self, trainer: pl.Trainer) -> Path:
        """Write the state of now, once; every rank calls it, rank zero writes."""
        path = self.path_of(trainer.global_step)
        if self._saved != trainer.global_step:
            temporary = path.with_name(f".{path.name}.part")
            trainer.save_checkpoint(temporary)
            if trainer.is_global_zero:
                rename(temporary, path)
                point_to(self.run_dir / "last.ckpt", path)
                for old in states(self.folder)[KEPT:]:
                    old.unlink()
            trainer.strategy.barrier("the state has its name")  # the other ranks may read it next
            self._saved = trainer.global_step
        return path

    def judge(self, trainer: pl.Trainer, jf: float) -> None:
        """Keep the state of now as the best one when its J&F is the highest so far in this stage."""
        if self.best_jf is None or jf > self.best_jf:
            self.best_jf = jf
            path = self.save(trainer)
            if trainer.is_global_zero:
                best, temporary = self.folder / "best.ckpt", self.folder / ".best.ckpt.part"
                temporary.unlink(missing_ok=True)
                temporary.hardlink_to(path)  # not a copy: the bytes stay when the numbered name goes, and cost nothing meanwhile
                rename(temporary, best)
                point_to(self.run_dir / "best.ckpt", best)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()


def states(folder: Path) -> list[Path]:
    """Numbered states of a stage, newest first."""
    return sorted(folder.glob("step*.ckpt"), reverse=True)


def newest_readable(folder: Path) -> Path | None:
    """The newest state that can be read; a damaged one (a full disk, say) is passed over."""
    for path in states(folder):
        try:
            read_checkpoint(path)
        except CheckpointError:
            continue
        return path
    return None
