"""`Stage`: one phase of training, with its own clips, steps, optimiser and curriculum."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer

from vosbench.training.average import WeightAverage
from vosbench.training.groups import Groups
from vosbench.training.guidance import Guidance


@dataclass
class Stage:
    """What one stage does; stages chain by checkpoint."""

    name: str  # static, bl30k, video, or a method's own
    clips: Any  # a clip source: (seed, step, index, progress) -> ClipSample
    steps: int  # optimiser steps
    batch: int  # clips per optimiser step, over all devices
    guidance: Guidance | None  # which masks the memory is given; None: prompts in frame 0, the method's own from then on
    part: str | None  # the submodule that is trained, by its own forward over a clip; None: the whole method
    freeze: list[Any]  # [prefix of parameter names, step from which they do not learn any more]
    optimizer: Callable[[Any], Optimizer]  # from parameters or groups of them
    groups: Groups | None  # None: all parameters alike
    schedule: Callable[..., float]  # (iteration, share) -> multiplier of the learning rate
    average: WeightAverage | None  # None: the weights themselves are evaluated and handed on
    loss: nn.Module  # (steps, clip, iteration) -> weighted terms; with `part`, of what its forward gives
    assess: Callable[[nn.Module], Mapping[str, float]] | None  # with `part`: numbers that judge it, in the place of J&F
    clip_norm: float | None  # largest norm of the gradient
    validate_every: int | None  # steps between two validations; None: only at the end
    checkpoint_every: int  # steps between two checkpoints

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"stages.{self.name}.{name} must be at least 1, got {getattr(self, name)}")
        if self.assess is not None and self.part is None:
            raise ValueError(f"stages.{self.name}.assess judges a part; name it with stages.{self.name}.part")
