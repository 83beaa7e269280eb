"""Atrous spatial pyramid pooling in front of the decoder (paper, section 3.3; specification 3.8)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.errors import ConfigError


@dataclass
class ASPPOptions:
    """Whether what is read is seen at several scales before it is decoded."""

    enabled: bool
    channels: int
    rates: list[int]  # dilation of each branch; 1 is a 1x1 convolution
    dropout: float

    def __post_init__(self) -> None:
        if not self.rates or min(self.rates) < 1:
            raise ConfigError(f"method.aspp.rates={self.rates}: expected dilations of at least 1, one per branch.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"method.aspp.dropout={self.dropout}: must be at least 0 and below 1.")


class ASPP(nn.Module):
    """Parallel convolutions of growing dilation, joined by a 1x1 convolution; no biases, no norms.

    Decision: of DeepLab's pyramid the form that the first author's earlier code has; DeepLab's own dilations exceed the map
    of a training crop. Its weights keep the size of what passes, as DeepLab's do: PyTorch's own would shrink it sixfold.
    """

    def __init__(self, options: ASPPOptions, channels: int) -> None:
        super().__init__()
        self.branch = nn.ModuleList(_branch(channels, options.channels, rate) for rate in options.rates)
        self.fuse = nn.Conv2d(options.channels * len(options.rates), options.channels, 1, bias=False)
        self.dropout = nn.Dropout(options.dropout)
        for conv in (*self.branch, self.fuse):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")

    def forward(self, x: Float[Tensor, "P C h w"]) -> Float[Tensor, "P Ca h w"]:
        joined = torch.cat([F.relu(branch(x)) for branch in self.branch], 1)
        return self.dropout(F.relu(self.fuse(joined)))


def _branch(channels: int, out_channels: int, rate: int) -> nn.Conv2d:
    if rate == 1:
        return nn.Conv2d(channels, out_channels, 1, bias=False)
    return nn.Conv2d(channels, out_channels, 3, padding=rate, dilation=rate, bias=False)
