"""Layers that the embedding network and the ensembler share: convolution with its norm, gated channel transformation,
instance gate (specification 3.0, 3.10)."""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

EPSILON = 1e-5
BAND = 2**18  # numbers


def group_count(channels: int) -> int:
    """Groups of a GroupNorm: the largest divisor of the channels that is at most 32 and leaves two channels to a group.

    32 for 64 to 512 channels and 25 for 100, as published; never one channel alone, so that a map of one pixel still has
    something to normalise.
    """
    most = min(32, channels // 2)
    return next(groups for groups in range(most, 0, -1) if channels % groups == 0)


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm with the method's own number of groups."""
    return nn.GroupNorm(group_count(channels), channels)


def quarter_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm with four channels to a group: refine layer and pre-head."""
    return nn.GroupNorm(channels // 4, channels)


class ConvNorm(nn.Module):
    """Convolution, then its norm. Kaiming normal weights for a ReLU; `fan` is the side whose variance they keep."""

    def __init__(
        self,
        kernel: int,
        channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
        norm: Callable[[int], nn.Module] = group_norm,
        fan: Literal["fan_in", "fan_out"] = "fan_out",
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels,
            out_channels,
            kernel,
            stride=stride,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            groups=groups,
            bias=bias,
        )
        nn.init.kaiming_normal_(self.conv.weight, mode=fan, nonlinearity="relu")
        self.norm = norm(out_channels)

    def forward(self, x: Float[Tensor, "P C h w"]) -> Float[Tensor, "P C2 h2 w2"]:
        return self.norm(self.conv(x))


class GCT(nn.Module):
    """Gated channel transformation: what each channel is multiplied with, from its energy and that of the others.

    ``e_c = alpha_c sqrt(E_c + eps)`` with ``E_c = sum_hw x_c^2``, and the factor is
    ``1 + tanh(gamma_c e_c / sqrt(mean_c e_c^2 + eps) + beta_c)``. Source: GCT (Yang et al. 2020), l2 form.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, energy: Float[Tensor, "P C"]) -> Float[Tensor, "P C"]:
        own = (energy + EPSILON).sqrt() * self.alpha.flatten()
        common = own.square().mean(1, keepdim=True).add(EPSILON).rsqrt()
        return 1 + torch.tanh(own * common * self.gamma.flatten() + self.beta.flatten())


class InstanceGate(nn.Module):
    """Instance-level attention: what each channel of an entry's map is multiplied with, from the entry's pooled vector."""

    def __init__(self, vector: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(vector, channels)

    def forward(self, vector: Float[Tensor, "P V"]) -> Float[Tensor, "P C"]:
        return 1 + torch.tanh(self.linear(vector))


def energy_of(x: Float[Tensor, "P C h w"]) -> Float[Tensor, "P C"]:
    """Sum of squares of every channel, in float32."""
    if x.device.type != "cpu":
        return x.float().square().sum((2, 3))
    # In bands of rows whose squares stay in the cache.
    rows = max(1, BAND // (x.shape[1] * x.shape[3]))
    return torch.stack([band.float().square().sum((2, 3)) for band in x.split(rows, 2)]).sum(0)


def scaled(x: Float[Tensor, "P C h w"], factor: Float[Tensor, "P C"]) -> Float[Tensor, "P C h w"]:
    """Every channel times its factor."""
    return x * factor[:, :, None, None].to(x.dtype)
