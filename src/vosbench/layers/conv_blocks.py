"""Convolutional blocks shared by value encoders and decoders: residual block, CBAM attention, fusion. No normalisation."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.layers.winograd import Conv3x3


def conv3x3(channels: int, out_channels: int) -> Conv3x3:
    """3x3 convolution that keeps the size."""
    return Conv3x3(channels, out_channels)


def key_head(channels: int, key_dim: int) -> Conv3x3:
    """3x3 convolution that makes keys: orthogonal at first, its bias zero. Source: the public code of STCN."""
    head = conv3x3(channels, key_dim)
    assert head.bias is not None
    nn.init.orthogonal_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def enlarged(x: Float[Tensor, "B C h w"], factor: int) -> Float[Tensor, "B C h2 w2"]:
    """The map `factor` times as high and wide, bilinearly."""
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


class LayerNorm2d(nn.Module):
    """LayerNorm over the channels at each location."""

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class ResBlock(nn.Module):
    """Pre-activation residual block: ``conv2(relu(conv1(relu(x)))) + skip(x)``. Source: STM, XMem."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(channels, out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.skip = nn.Identity() if channels == out_channels else conv3x3(channels, out_channels)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C2 h w"]:
        return self.conv2(F.relu(self.conv1(F.relu(x)), inplace=True)) + self.skip(x)


class CBAM(nn.Module):
    """Convolutional block attention: a gate per channel, then a gate per location. Source: CBAM, sections 3.1, 3.2."""

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        self.spatial = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        channel_gate = self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3)))
        x = x * channel_gate.sigmoid()[:, :, None, None]
        pooled = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return x * self.spatial(pooled).sigmoid()


class Fuse(nn.Module):
    """Mix concatenated maps: residual block, CBAM, residual block. Source: XMem, feature fusion block."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.block1 = ResBlock(channels, out_channels)
        self.attention = CBAM(out_channels)
        self.block2 = ResBlock(out_channels, out_channels)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C2 h w"]:
        x = self.block1(x)
        return self.block2(x + self.attention(x))
