"""What a person sees of a training: the progress line and the curves."""

import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl

from vosbench.training.metrics_log import MetricsFile
from vosbench.training.module import VOSModule
from vosbench.training.stage import Stage

LOG_EVERY = 10  # steps between two points of a curve

Advance = Callable[[int, str], None]  # (steps more, what to say beside the bar)


class Watching(pl.Callback):
    """Advances the progress line and logs the loss terms, the learning rate and the speed, on rank zero."""

    def __init__(self, stage: Stage, offset: int, advance: Advance) -> None:
        """`offset`: steps of the stages before, so that curves of a chain lie behind each other. `advance` moves the bar."""
        self.stage, self.offset, self.advance = stage, offset, advance
        self._last = (0.0, 0)  # when and where the newest point was
        self._shown = ""  # loss and speed at the newest point

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._last = (time.perf_counter(), trainer.global_step)
        if trainer.is_global_zero:
            self.advance(trainer.global_step, "")  # a resumed stage begins in mid-bar

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if not trainer.is_global_zero:
            return
        if step % LOG_EVERY and step != self.stage.steps:
            self.advance(1, self._shown)
            return
        assert isinstance(pl_module, VOSModule)
        terms = {name: float(value) for name, value in pl_module.terms.items()}
        now = time.perf_counter()
        began, first = self._last
        speed = (step - first) / max(now - began, 1e-9)
        self._last = (now, step)
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self._shown = f"loss {terms['loss']:.3f}  {speed:.1f} steps/s"
        self.advance(1, self._shown)
        metrics = {f"train/{name}": value for name, value in terms.items()}
        metrics |= {"train/lr": rate, "train/steps_per_second": speed}
        log_to_all(trainer, metrics, self.stage, self.offset + step)


def log_to_all(trainer: pl.Trainer, metrics: dict[str, float], stage: Stage, step: int) -> None:
    """One point of each curve, on rank zero; the metrics file also gets the stage's name."""
    for logger in trainer.loggers if trainer.is_global_zero else []:
        if isinstance(logger, MetricsFile):
            logger.add({"stage": stage.name, **metrics}, step)
        else:
            logger.log_metrics(metrics, step)
