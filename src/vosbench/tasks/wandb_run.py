"""The wandb run of a job: offline unless asked otherwise, in the run folder, one per process, continued on resume."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger, WandbLogger

from vosbench.tasks.device import rank


@contextmanager
def wandb_run(cfg: DictConfig, run_dir: Path) -> Iterator[Any]:
    """A wandb run on rank zero, finished at the end whatever happens; None elsewhere and with logger=none."""
    if cfg.logger is None or rank() != 0:
        yield None
        return
    import wandb  # late: it takes a second

    run = wandb.init(
        project=cfg.logger.project,
        name=f"{run_dir.parent.name}/{run_dir.name}",
        # From the folder, so that a resumed job writes into the same run.
        id=hashlib.sha1(str(run_dir.resolve()).encode()).hexdigest()[:16],
        resume="allow",
        mode=cfg.logger.mode,
        dir=run_dir,
        config=OmegaConf.to_container(cfg, resolve=True),  # type: ignore[arg-type]
        settings=wandb.Settings(silent=True),
    )
    try:
        yield run
    except BaseException:
        run.finish(exit_code=1)
        raise
    run.finish()


def wandb_loggers(run: Any) -> list[Logger]:
    """Lightning's logger around an open run, or none."""
    return [] if run is None else [WandbLogger(experiment=run)]
