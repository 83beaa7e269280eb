"""`WeightAverage`: the exponential moving average of the weights, which is what gets evaluated and handed on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn


class WeightAverage:
    """``a <- d a + (1 - d) w`` after every step, with ``d = min(1 - 1 / horizon, (1 + n) / (10 + n))`` after n steps.

    Source: the public code of AOT, where the horizon is a tenth of the stage.
    """

    def __init__(self, horizon: int) -> None:
        """`horizon` in steps."""
        if horizon < 1:
            raise ValueError(f"horizon must be at least 1 step, got {horizon}")
        self.horizon = horizon
        self.weights: dict[str, Tensor] = {}

    def decay(self, step: int) -> float:
        """Weight of the old average after `step` steps."""
        return min(1 - 1 / self.horizon, (1 + step) / (10 + step))

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after step number `step`; the first call takes them as they are."""
        state = network.state_dict()
        if not self.weights:
            self.weights = {name: tensor.detach().clone() for name, tensor in state.items()}
            return
        # A resume has read them on the CPU.
        self.weights = {name: tensor.to(state[name].device) for name, tensor in self.weights.items()}
        floats = [name for name, tensor in state.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([self.weights[name] for name in floats], [state[name] for name in floats], 1 - self.decay(step))
        for name in state.keys() - set(floats):
            self.weights[name].copy_(state[name])

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """The network with the averaged weights, and with its own again afterwards."""
        own = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        network.load_state_dict(self.weights)
        try:
            yield
        finally:
            network.load_state_dict(own)


class Averaging(pl.Callback):
    """Keeps the moving average of the weights, where the stage has one; comes before what reads it."""

    def __init__(self, average: WeightAverage) -> None:
        self.average = average

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.average.update(pl_module.get_submodule("method"), trainer.global_step)
