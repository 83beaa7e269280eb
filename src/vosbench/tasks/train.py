"""`task=train`: the chain of stages, then the evaluation of the best state."""

import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from vosbench.checkpoints.files import read_checkpoint
from vosbench.checkpoints.weights import load_weights, network_weights
from vosbench.configuration.targets import build
from vosbench.errors import ConfigError
from vosbench.methods.method import Method
from vosbench.reporting.progress import progress
from vosbench.tasks.device import on_device
from vosbench.tasks.evaluate import evaluate_and_report, evaluator, validation_split
from vosbench.tasks.wandb_run import wandb_loggers, wandb_run
from vosbench.training.chain import Chain
from vosbench.training.metrics_log import MetricsFile
from vosbench.training.stage import Stage

log = logging.getLogger(__name__)


def run(cfg: DictConfig, run_dir: Path) -> dict[str, Any] | None:
    """Train the stages that have a data set, then evaluate; a method without anything to learn is evaluated at once."""
    pl.seed_everything(cfg.seed, workers=False, verbose=False)
    method: Method = build(cfg.method)
    with wandb_run(cfg, run_dir) as wandb:
        if method.learns:
            _train(cfg, run_dir, method, wandb)
        else:
            log.info("%s has nothing to learn; it is evaluated as it is", cfg.method_name)
        on_device(method, cfg)
        return evaluate_and_report(cfg, run_dir, method, wandb)


def _train(cfg: DictConfig, run_dir: Path, method: Method, wandb: Any) -> None:
    names = stages_of(cfg)
    for name in names:  # once before the first step: a missing folder of the last stage must not cost the hours of the others
        _stage(cfg, name)
    log.info(
        "%s: %.2f M parameters, stages %s", cfg.method_name, sum(p.numel() for p in method.parameters()) / 1e6, ", ".join(names)
    )
    chain = Chain(
        method,
        run_dir,
        cfg.seed,
        evaluator(cfg, validation_split(cfg)),
        identity={
            "format": 1,
            "method": cfg.method_name,
            "size": cfg.size,
            "network": OmegaConf.to_container(cfg.method, resolve=True),
        },
        trainer=OmegaConf.to_container(cfg.trainer, resolve=True),  # type: ignore[arg-type]
        workers=cfg.trainer.workers,
        progress=progress,
        loggers=[MetricsFile(run_dir / "metrics.csv"), *wandb_loggers(wandb)],
        allow_partial=cfg.allow_partial,
    )
    if cfg.checkpoint is not None:
        chain.begin_from(Path(cfg.checkpoint))
    chain.run(names, lambda name: _stage(cfg, name))
    best = run_dir / "best.ckpt"
    if not best.exists():  # a chain of parts alone segments nothing on its way
        best = run_dir / "last.ckpt"
    report = load_weights(method, network_weights(read_checkpoint(best)), str(best))
    log.info("evaluating %s: %s", best.resolve().relative_to(run_dir.resolve()), report.sentence())


def stages_of(cfg: DictConfig) -> list[str]:
    """Names of the stages that are on and have a data set, in their order."""
    if cfg.get("stages") is None:
        raise ConfigError(
            f"{cfg.method_name} has no recipe for size={cfg.size}: write conf/stages/{cfg.method_name}_{cfg.size}.yaml, or name another with "
            f"stages=default_{cfg.size}."
        )
    names = []
    for name in cfg.stages.chain:
        stage = cfg.stages.get(name)
        if stage is None:
            continue
        if stage.part is not None and OmegaConf.select(cfg.method, stage.part) is None:
            log.info("stage '%s' is left out: the method has no such part (method.%s is null)", name, stage.part)
        elif None in _data_sets(OmegaConf.to_container(stage.clips, resolve=True)):
            log.info("stage '%s' is left out: the data set has nothing for it (data=... sets it to null)", name)
        else:
            names.append(str(name))
    if not names:
        raise ConfigError(f"No stage of {cfg.method_name} has training data; choose another data set, or task=evaluate.")
    return names


def _data_sets(clips: Any) -> list[Any]:
    """Every data set that a clip source draws from, also inside sources made of other sources."""
    if isinstance(clips, list):
        return [found for item in clips for found in _data_sets(item)]
    if not isinstance(clips, dict):
        return []
    return [found for key, value in clips.items() for found in ([value] if key == "dataset" else _data_sets(value))]


def _stage(cfg: DictConfig, name: str) -> Stage:
    return build(cfg.stages[name])
