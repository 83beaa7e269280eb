"""Batch normalisation whose statistics and affine part are constants, also while the network trains."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class FrozenBatchNorm(nn.Module):
    """``weight (x - running_mean) / sqrt(running_var + eps) + bias``, all four of them buffers under the names they had, then
    the activation that the replaced layer carried (timm joins the two).

    `in_place` says that nothing else reads the input: without gradients it is then overwritten, at a third of the time.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, norm: nn.BatchNorm2d, *, in_place: bool) -> None:
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, getattr(norm, name).detach().clone())
        self.eps, self.in_place = norm.eps, in_place
        self.act = getattr(norm, "act", nn.Identity())

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        if not self.in_place or torch.is_grad_enabled():
            return self.act(F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps))
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return self.act(torch.addcmul(_per_channel(shift, x), x, _per_channel(scale, x), out=x))


def freeze_batch_norms(network: nn.Module, *, trained: bool, in_place: bool) -> None:
    """Replace every `BatchNorm2d` inside `network`; `in_place` is described above.

    `trained` says that the weights come from a training. A random network has each gain set to one: some initialisations
    begin with residual branches of gain zero, and a constant zero would silence the branch for ever.
    """
    norms = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)]
    for name, norm in norms:
        frozen = FrozenBatchNorm(norm, in_place=in_place)
        if not trained:
            torch.nn.init.ones_(frozen.weight)
        network.set_submodule(name, frozen)


def _per_channel(values: Float[Tensor, "C"], like: Tensor) -> Tensor:
    return values.to(like.dtype)[None, :, None, None]
