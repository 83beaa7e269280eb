"""Validation inside a training: the real streaming inference, the real scorer, the best state by J&F."""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytorch_lightning as pl
from torch import nn

from vosbench.evaluation import Evaluation
from vosbench.methods.method import Method
from vosbench.training.module import VOSModule
from vosbench.training.recovery import Recovery
from vosbench.training.stage import Stage
from vosbench.training.watching import Advance, log_to_all

log = logging.getLogger(__name__)

Evaluate = Callable[[Method, Advance], Evaluation]  # the second is called as sequences are done


class Validation(pl.Callback):
    """Scores the method, or the part that is trained alone, every `validate_every` steps and at the stage's end."""

    def __init__(self, stage: Stage, offset: int, evaluate: Evaluate, recovery: Recovery, advance: Advance) -> None:
        self.stage, self.offset, self.evaluate, self.recovery, self.advance = stage, offset, evaluate, recovery, advance

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        every = self.stage.validate_every
        if step != self.stage.steps and (every is None or step % every):
            return
        assert isinstance(pl_module, VOSModule)
        if self.stage.part is not None:
            self._assess(trainer, pl_module.method.get_submodule(self.stage.part), step)
            return
        average = self.stage.average
        with nullcontext() if average is None else average.applied(pl_module.method):
            evaluation = self.evaluate(pl_module.method, lambda frames, sequence: self.advance(0, f"validating {sequence}"))
        pl_module.train()
        found = evaluation.headline()
        log.info("stage '%s', step %d: J&F %.1f on the validation split", self.stage.name, step, 100 * found["jf"])
        log_to_all(trainer, {f"val/{name}": value for name, value in found.items()}, self.stage, self.offset + step)
        self.recovery.judge(trainer, found["jf"])

    def _assess(self, trainer: pl.Trainer, part: nn.Module, step: int) -> None:
        """A part alone segments nothing, so it has no J&F and no best state."""
        if self.stage.assess is None:
            return
        found = self.stage.assess(part.eval())
        told = ", ".join(f"{name} {value:.3f}" for name, value in found.items())
        log.info("stage '%s', step %d: %s", self.stage.name, step, told)
        log_to_all(
            trainer, {f"val/{self.stage.part}_{name}": value for name, value in found.items()}, self.stage, self.offset + step
        )
