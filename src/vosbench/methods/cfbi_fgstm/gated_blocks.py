"""What the ensembler is built of: residual bottleneck and atrous pyramid behind an instance gate (specification 3.10).

Gate and GCT are factors per entry and channel; where a 1x1 convolution follows they go into its weights.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.methods.cfbi_fgstm.blocks import GCT, ConvNorm, InstanceGate, energy_of, scaled
from vosbench.methods.cfbi_fgstm.stacked import Own, Stacked


class Bottleneck(nn.Module):
    """Gate, then BT: GCT, 1x1, 3x3, 1x1 with norms, and a shortcut from the gated input; a 1x1 one where shapes change.

    The input is one map, or, where the stride is 1, maps side by side.
    """

    def __init__(self, vector: int, channels: int, out_channels: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        hidden = out_channels // 4
        self.gate = InstanceGate(vector, channels)
        self.gct = GCT(channels)
        self.reduce = ConvNorm(1, channels, hidden)
        self.spatial = ConvNorm(3, hidden, hidden, stride=stride, dilation=dilation)
        self.expand = ConvNorm(1, hidden, out_channels)
        self.shortcut = ConvNorm(1, channels, out_channels) if channels != out_channels or stride > 1 else None
        self.stride = stride

    def forward(self, x: Float[Tensor, "P C h w"] | Stacked, vector: Float[Tensor, "P V"]) -> Float[Tensor, "P C2 h2 w2"]:
        stacked = Stacked(Own(x)) if isinstance(x, Tensor) else x
        gate = self.gate(vector)
        factor = gate * self.gct(gate.square() * stacked.energy())
        y = F.relu(self.reduce.norm(stacked.mixed(self.reduce.conv.weight.flatten(1), factor)), inplace=True)
        y = F.relu(self.spatial(y), inplace=True)
        y = self.expand(y)
        if self.shortcut is None:
            assert isinstance(x, Tensor)
            return F.relu(y.addcmul_(x, gate[:, :, None, None].to(x.dtype)), inplace=True)
        if isinstance(x, Tensor) and self.stride > 1:
            stacked = Stacked(Own(x[:, :, :: self.stride, :: self.stride]))
        direct = self.shortcut.norm(stacked.mixed(self.shortcut.conv.weight.flatten(1), gate))
        return F.relu(direct.add_(y), inplace=True)


class Branch(nn.Module):
    """GCT, convolution, GroupNorm, ReLU: one branch of the head's pyramid."""

    def __init__(self, kernel: int, channels: int, out_channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.gct = GCT(channels)
        self.layer = ConvNorm(kernel, channels, out_channels, dilation=dilation, fan="fan_in")

    def forward(self, x: Float[Tensor, "P C h w"], energy: Float[Tensor, "P C"]) -> Float[Tensor, "P C2 h w"]:
        return F.relu(self.layer(scaled(x, self.gct(energy))), inplace=True)


class GatedASPP(nn.Module):
    """Gate, then the atrous pyramid of the head; its image branch has no norm."""

    def __init__(self, vector: int, channels: int, out_channels: int, dilations: list[int]) -> None:
        super().__init__()
        dim = out_channels // 2
        self.gate = InstanceGate(vector, channels)
        self.branches = nn.ModuleList([Branch(1, channels, dim), *(Branch(3, channels, dim, dilation) for dilation in dilations)])
        self.pooled = nn.Conv2d(channels, dim, 1, bias=False)
        nn.init.kaiming_normal_(self.pooled.weight, mode="fan_in", nonlinearity="relu")
        joined = (len(self.branches) + 1) * dim
        self.gct = GCT(joined)
        self.project = ConvNorm(1, joined, out_channels, fan="fan_in")

    def forward(self, x: Float[Tensor, "P C h w"], vector: Float[Tensor, "P V"]) -> Float[Tensor, "P C2 h w"]:
        x = scaled(x, self.gate(vector))
        energy = energy_of(x)
        maps = [branch(x, energy) for branch in self.branches]
        whole = F.relu(self.pooled(x.mean((2, 3), keepdim=True)))
        joined = torch.cat([*maps, whole.expand_as(maps[0])], 1)
        return F.relu(self.project(scaled(joined, self.gct(energy_of(joined)))), inplace=True)
