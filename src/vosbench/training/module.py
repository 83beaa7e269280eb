"""`VOSModule`: the glue between a method and Lightning. No maths here: see the method and the loss."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from vosbench.checkpoints.weights import AVERAGE
from vosbench.errors import RunError
from vosbench.methods.method import Method
from vosbench.training.groups import Groups
from vosbench.training.stage import Stage
from vosbench.video.clip import Clip


@contextmanager
def learning(method: nn.Module, part: str | None) -> Iterator[None]:
    """While it lasts only `part` learns (None: all that the method lets learn); afterwards all is as it was."""
    before = {parameter: parameter.requires_grad for parameter in method.parameters()}
    if part is not None:
        for name, parameter in method.named_parameters():
            parameter.requires_grad_(name.startswith(f"{part}."))
    try:
        yield
    finally:
        for parameter, learns in before.items():
            parameter.requires_grad_(learns)


class VOSModule(pl.LightningModule):
    """Unrolls the streaming contract over a clip and hands the steps to the stage's loss."""

    def __init__(self, method: Method, stage: Stage, seed: int) -> None:
        super().__init__()
        self.method, self.stage, self.seed = method, stage, seed
        self.terms: dict[str, Tensor] = {}  # of the newest step, for progress and logging
        self._clip: Clip | None = None  # of the newest step, to be named when its gradient is not finite

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.stage.average is not None:
            checkpoint[AVERAGE] = self.stage.average.weights

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.stage.average is not None:
            self.stage.average.weights = dict(checkpoint[AVERAGE])

    def on_train_batch_start(self, batch: Clip, batch_idx: int) -> None:
        if self.stage.part is not None:  # Lightning puts the whole module into train mode at every epoch
            self.method.eval()
            self.method.get_submodule(self.stage.part).train()
        for name, parameter in self.method.named_parameters():
            if any(name.startswith(prefix) and self.global_step >= step for prefix, step in self.stage.freeze):
                parameter.requires_grad_(False)  # without a gradient no optimiser touches it, its decay included
        # Dropout and reference draws of step k depend on (seed, k, rank) alone, whatever was interrupted or validated before.
        torch.manual_seed((self.seed * 1_000_003 + self.global_step) * 1009 + self.global_rank)

    def training_step(self, batch: Clip, batch_idx: int) -> Tensor:
        self._clip = batch
        self.terms = self.stage.loss(self._outputs(batch), batch, self.global_step)
        loss = torch.stack(list(self.terms.values())).sum()
        if not math.isfinite(float(loss.detach())):
            terms = ", ".join(f"{name} {float(term.detach()):g}" for name, term in self.terms.items())
            raise RunError(self._not_finite("the loss", terms, batch))
        if not loss.requires_grad:
            # No clip of this rank holds an object, so nothing was computed; all ranks have to take part all the same.
            loss = loss + 0.0 * torch.stack([p.sum() for p in self.method.parameters() if p.requires_grad]).sum()
        self.terms = {name: term.detach() for name, term in self.terms.items()} | {"loss": loss.detach()}
        return loss

    def _outputs(self, batch: Clip) -> Any:
        """What the loss judges: the steps of the unrolled clip, or what the trained part makes of it."""
        if self.stage.part is not None:
            return self.method.get_submodule(self.stage.part)(batch)
        if self.stage.guidance is None:
            return self.method(batch)
        prompted, forced = self.stage.guidance(self.global_step)
        return self.method(batch, prompted, forced)

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip by norm, and stop before a gradient that is not finite reaches the weights."""
        limit = math.inf if self.stage.clip_norm is None else self.stage.clip_norm
        norm = torch.nn.utils.clip_grad_norm_(self.method.parameters(), limit)
        # In float16 the loss scaler expects infinite gradients now and then and skips those steps by itself.
        if self.trainer.precision != "16-mixed" and not math.isfinite(float(norm)):
            raise RunError(self._not_finite("the gradient", f"norm {float(norm):g}", self._clip))

    def configure_optimizers(self) -> Any:
        groups = Groups({}, [], decay_vectors=True) if self.stage.groups is None else self.stage.groups
        optimizer = self.stage.optimizer(groups(self.method))
        scheduler = LambdaLR(optimizer, [partial(self.stage.schedule, share=group["share"]) for group in optimizer.param_groups])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _not_finite(self, what: str, found: str, clip: Clip | None) -> str:
        names = zip(clip.sequence, clip.frame_names, strict=True) if clip is not None else ()
        clips = ", ".join(f"{name} (frames {', '.join(frames)})" for name, frames in names)
        return (
            f"stage '{self.stage.name}', step {self.global_step}: {what} is not finite ({found}) on the clips {clips}; the last checkpoint "
            "is from before it: lower the learning rate or look at these frames, then go on with resume=<run folder>."
        )
