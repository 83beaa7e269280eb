"""`Trunk`: a residual or transformer network from timm, cut at stride 16, as the networks of STM's family use it."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vosbench.layers.timm_backbone import timm_network, with_extra_inputs
from vosbench.layers.winograd import use_winograd


@dataclass
class TrunkOptions:
    """Which network of timm, and with which weights it starts."""

    name: str  # timm's name, with the tag of the weights behind a dot
    options: dict[str, Any]  # further arguments of timm's create_model
    pretrained: bool | None  # ImageNet weights; null or false: random


class Trunk(nn.Module):
    """Image, and further planes, -> the maps that `indices` of timm's feature extraction name.

    Batch norms keep their statistics in training: those of few clips, or of the objects of one, are no statistics. Their
    gains and biases are trained. Source: the public code of STM and STCN.
    """

    def __init__(
        self,
        options: TrunkOptions,
        *,
        key: str,
        indices: tuple[int, ...] = (1, 2, 3),
        planes: int = 0,
        biases: bool = False,
        channels_last: bool = False,
    ) -> None:
        """`key` is the configuration key that asks for trained weights. `planes` more inputs reach the network in its first
        convolution. `biases` adds one to every convolution; `channels_last` says that timm gives maps in that order."""
        super().__init__()
        network: Any = timm_network(
            options.name,
            pretrained=bool(options.pretrained),
            key=key,
            features_only=True,
            out_indices=indices,
            **options.options,
        )
        self.channels: list[int] = network.feature_info.channels()
        self.net = with_extra_inputs(network, planes) if planes else network
        self.channels_last = channels_last
        if biases:
            _add_biases(self.net)
        use_winograd(self.net)

    def train(self, mode: bool = True) -> "Trunk":
        """Batch norms stay in eval mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def forward(self, x: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        maps = self.net(x)
        return [map.permute(0, 3, 1, 2) for map in maps] if self.channels_last else maps


def _add_biases(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.bias is None:
            module.bias = nn.Parameter(torch.zeros_like(module.weight[:, 0, 0, 0]))
