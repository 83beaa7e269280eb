"""Feature Pyramid Attention on the head's high-level map (paper, abstract; specification 3.12, `head.fpa`)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.methods.cfbi_fgstm.blocks import ConvNorm
from vosbench.methods.cfbi_fgstm.plain_conv import conv, zero_conv
from vosbench.methods.cfbi_fgstm.resizing import resized


class FeaturePyramidAttention(nn.Module):
    """A small pyramid of the map weighs the map at every pixel and channel; the map's mean is added.

    ``d1, d2, d3``: the map at a half, a quarter and an eighth of its size, by kernels 7, 5 and 3. Source: Pyramid Attention
    Network, Figure 3. Decisions: bilinear steps in the place of its transposed convolutions, which fit even sizes only, and a
    residual that starts at zero, so that a network that was trained without it stays as it is.
    """

    def __init__(self, channels: int, inner: int) -> None:
        """`channels`: of the map, 2E; `inner`: of the pyramid, E / 4."""
        super().__init__()
        self.down = nn.ModuleList(
            [ConvNorm(kernel, width, inner, stride=2) for kernel, width in ((7, channels), (5, inner), (3, inner))]
        )
        self.side = nn.ModuleList([ConvNorm(kernel, inner, inner) for kernel in (7, 5, 3)])
        self.attention = conv(1, inner, channels)
        self.middle = ConvNorm(1, channels, channels)
        self.mean = conv(1, channels, channels)
        self.out = zero_conv(1, channels, channels)

    def forward(self, x: Float[Tensor, "K C h w"]) -> Float[Tensor, "K C h w"]:
        steps, down = [], x
        for layer in self.down:
            down = F.relu(layer(down))
            steps.append(down)
        up = F.relu(self.side[2](steps[2]))
        for step, layer in ((steps[1], self.side[1]), (steps[0], self.side[0])):
            up = F.relu(layer(step) + resized(up, (step.shape[2], step.shape[3])))
        weighed = self.middle(x) * self.attention(resized(up, (x.shape[2], x.shape[3])))
        mean = F.relu(self.mean(torch.mean(x, (2, 3), keepdim=True)))
        return x + self.out(F.relu(weighed + mean))
