"""Where a task outside of training computes: this process's device, and which of the ranks it is."""

import os

import torch
from omegaconf import DictConfig

from vosbench.errors import ConfigError
from vosbench.methods.method import Method


def rank() -> int:
    """Number of this process among those of the job."""
    return int(os.environ.get("RANK", "0"))


def device_of(accelerator: str) -> torch.device:
    """`auto` takes a GPU where there is one."""
    if accelerator == "auto":
        accelerator = "gpu" if torch.cuda.is_available() else "cpu"
    if accelerator in ("gpu", "cuda"):
        if not torch.cuda.is_available():
            raise ConfigError("trainer.accelerator=gpu, but torch sees no GPU here; use trainer.accelerator=auto or cpu.")
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device(accelerator)


def on_device(method: Method, cfg: DictConfig) -> None:
    """Move a method to where this process computes."""
    method.to(device_of(cfg.trainer.accelerator))
