"""The chain of stages: each starts from the weights of the one before, and the chain goes on where it was cut off."""

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from vosbench.checkpoints.files import read_checkpoint
from vosbench.checkpoints.load import receive
from vosbench.checkpoints.weights import LoadReport, load_weights, network_weights
from vosbench.clips.datamodule import ClipDataModule
from vosbench.errors import ConfigError
from vosbench.methods.method import Method
from vosbench.training.average import Averaging
from vosbench.training.metrics_log import MetricsFile
from vosbench.training.module import VOSModule, learning
from vosbench.training.recovery import Recovery, newest_readable
from vosbench.training.stage import Stage
from vosbench.training.validation import Evaluate, Validation
from vosbench.training.watching import Advance, Watching

log = logging.getLogger(__name__)

LEAST_SHARE = 0.99  # of the network's numbers that a hand-over has to bring


@dataclass
class Chain:
    """Everything that the stages of one run share."""

    method: Method
    run_dir: Path
    seed: int
    evaluate: Evaluate
    identity: dict[str, Any]  # plain values kept in every checkpoint
    trainer: Mapping[str, Any]  # accelerator, strategy, devices, nodes, precision
    workers: int
    progress: Callable[[str, int], AbstractContextManager[Advance]]
    loggers: list[Logger] = field(default_factory=list)
    allow_partial: bool = False
    report: LoadReport | None = None  # of the newest hand-over

    def begin_from(self, checkpoint: Path) -> None:
        """Weights for the first stage, from a file."""
        self._hand_over(checkpoint, "the first stage")

    def run(self, names: list[str], build: Callable[[str], Stage]) -> None:
        """Train the stages in their order; those that an earlier process finished are passed over."""
        offset, previous = 0, None
        for name in names:
            stage = build(name)
            state = newest_readable(self.run_dir / "checkpoints" / name)
            if state is None and previous is not None:
                self._hand_over(previous, f"stage '{name}'")
            done = 0 if state is None else int(read_checkpoint(state)["global_step"])
            if done < stage.steps:
                state = self._fit(stage, offset, done, state)
            elif state is not None:
                log.info("stage '%s' is finished already, from %s", name, state)
            assert state is not None
            offset, previous = offset + stage.steps, state
        if previous is not None:
            load_weights(self.method, network_weights(read_checkpoint(previous)), str(previous))

    def _hand_over(self, checkpoint: Path, receiver: str) -> None:
        least = 0.0 if self.allow_partial else LEAST_SHARE
        report = receive(self.method, read_checkpoint(checkpoint), str(checkpoint), least)
        log.info("%s starts from %s: %s; %s", receiver, checkpoint, report.sentence(), describe_frozen(self.method))
        self.report = report

    def _fit(self, stage: Stage, offset: int, done: int, state: Path | None) -> Path:
        recovery = Recovery(self.run_dir, stage, self.identity)
        for logger in self.loggers:
            if isinstance(logger, MetricsFile):
                logger.forget_from(offset + done)
        clips = ClipDataModule(
            stage.clips, batch=stage.batch, steps=stage.steps, seed=self.seed, stage=stage.name, workers=self.workers
        )
        log.info(
            "stage '%s': %d steps of %d clips%s", stage.name, stage.steps, stage.batch, f", from step {done}" if done else ""
        )
        with self.progress(f"stage {stage.name}", stage.steps) as advance:
            watching = Watching(stage, offset, advance)
            validation = Validation(stage, offset, self.evaluate, recovery, advance)
            # Recovery after validation, so that a state knows the best J&F up to its own step.
            averaging = [] if stage.average is None else [Averaging(stage.average)]
            trainer = self._lightning(stage, [*averaging, watching, validation, recovery])
            # The path as text: Lightning opens the file itself, and only plain values may be in it.
            path = None if state is None else str(state)
            with learning(self.method, stage.part):
                trainer.fit(VOSModule(self.method, stage, self.seed), clips, ckpt_path=path, weights_only=True)
        return recovery.path_of(stage.steps)

    def _lightning(self, stage: Stage, callbacks: list[pl.Callback]) -> pl.Trainer:
        trainer = pl.Trainer(
            accelerator=self.trainer["accelerator"],
            strategy=self.trainer["strategy"],
            devices=self.trainer["devices"],
            num_nodes=self.trainer["nodes"],
            precision=self.trainer["precision"],
            max_steps=stage.steps,
            max_epochs=-1,
            logger=self.loggers,
            callbacks=callbacks,
            default_root_dir=self.run_dir,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,  # the batch sampler splits over ranks by itself
            log_every_n_steps=1,  # unused: `Watching` logs
        )
        wanted = self.trainer["devices"] * self.trainer["nodes"]
        if trainer.world_size != wanted:
            raise ConfigError(
                f"trainer.devices={self.trainer['devices']} on {self.trainer['nodes']} nodes asks for {wanted} processes, but {trainer.world_size} "
                "take part; start the job with `python -m vosbench`, or under your scheduler's launcher with one process per device."
            )
        return trainer


def describe_frozen(network: nn.Module) -> str:
    """Which parameters do not move and which norm layers keep their statistics while training."""
    network.train()
    parameters = list(network.named_parameters())
    frozen = [name for name, parameter in parameters if not parameter.requires_grad]
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    still = [module for module in norms if not module.training]
    named = f" ({', '.join(frozen[:3])}{', ...' if len(frozen) > 3 else ''})" if frozen else ""
    return f"{len(frozen)} of {len(parameters)} parameters frozen{named}, {len(still)} of {len(norms)} batch norms in eval mode"
