"""From DeepLab's maps to the embeddings that are matched and remembered (specification 3.4)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.methods.cfbi_fgstm.blocks import ConvNorm
from vosbench.methods.cfbi_fgstm.resizing import resized


class SingleScale(nn.Module):
    """CFBI: one embedding, at stride 4, of the decoder's map."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.spatial = ConvNorm(3, channels, channels, groups=channels, bias=True)
        self.project = ConvNorm(1, channels, dim, bias=True)

    def forward(
        self, x4: Float[Tensor, "B A h4 w4"], c8: Float[Tensor, "B c8 h8 w8"], a: Float[Tensor, "B A h16 w16"]
    ) -> list[Tensor]:
        return [F.relu(self.project(F.relu(self.spatial(x4))))]


class FPN(nn.Module):
    """CFBI+: embeddings at strides 4, 8 and 16, each with what the coarser ones know; `bottom_up` lets the fine ones answer."""

    def __init__(self, channels: int, channels8: int, dim: int, bottom_up: nn.Module | None) -> None:
        super().__init__()
        self.top = ConvNorm(1, channels, dim)
        self.lateral8 = ConvNorm(1, channels8, dim)
        self.lateral4 = ConvNorm(1, channels, dim)
        self.smooth8 = ConvNorm(3, dim, dim)
        self.smooth4 = ConvNorm(3, dim, dim)
        self.bottom_up = bottom_up

    def forward(
        self, x4: Float[Tensor, "B A h4 w4"], c8: Float[Tensor, "B c8 h8 w8"], a: Float[Tensor, "B A h16 w16"]
    ) -> list[Tensor]:
        p16 = self.top(a)
        p8 = self.lateral8(c8) + resized(p16, (c8.shape[2], c8.shape[3]))
        p4 = self.lateral4(x4) + resized(p8, (x4.shape[2], x4.shape[3]))  # of the map before smoothing
        p8, p4 = self.smooth8(p8), self.smooth4(p4)
        if self.bottom_up is not None:
            p4, p8, p16 = self.bottom_up(p4, p8, p16)
        return [torch.relu(p) for p in (p4, p8, p16)]
