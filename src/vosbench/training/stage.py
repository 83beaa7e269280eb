"""`Stage`: one phase of training, with its own clips, steps, optimiser and curriculum."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer


@dataclass
class Stage:
    """What one stage does; stages chain by checkpoint."""

    name: str  # static, bl30k, video, or a method's own
    clips: Any  # a clip source: (seed, step, index, progress) -> ClipSample
    steps: int  # optimiser steps
    batch: int  # clips per optimiser step, over all devices
    optimizer: Callable[[Iterable[Tensor]], Optimizer]
    schedule: Callable[[int], float]  # iteration -> multiplier of the learning rate
    loss: nn.Module  # (steps, clip, iteration) -> weighted terms
    clip_norm: float | None  # largest norm of the gradient
    validate_every: int | None  # steps between two validations; None: only at the end
    checkpoint_every: int  # steps between two checkpoints

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"stages.{self.name}.{name} must be at least 1, got {getattr(self, name)}")
