"""Value encoder: what is remembered of one object in one frame (specification 3.6)."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vosbench.layers.conv_blocks import Fuse
from vosbench.layers.timm_backbone import timm_network, with_extra_inputs


class ValueEncoder(nn.Module):
    """Image, own mask and the other objects' masks through a residual trunk, fused with the frame's final tokens."""

    def __init__(self, *, trunk: str, trunk_options: dict[str, Any], pretrained: bool, dim: int, token_dim: int) -> None:
        super().__init__()
        network: Any = timm_network(
            trunk, pretrained=pretrained, key="method.value.pretrained", features_only=True, out_indices=(3,), **trunk_options
        )
        self.trunk = with_extra_inputs(network, 2)
        self.fuse = Fuse(token_dim + network.feature_info.channels()[-1], dim)

    def train(self, mode: bool = True) -> "ValueEncoder":
        """BatchNorm keeps its trained statistics: those of a batch of objects of one clip are no statistics. Source: XMem."""
        super().train(mode)
        for module in self.trunk.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def forward(
        self,
        image: Float[Tensor, "P 3 H W"],
        own: Float[Tensor, "P 1 H W"],
        others: Float[Tensor, "P 1 H W"],
        final: Float[Tensor, "P C h w"],
    ) -> Float[Tensor, "P Cv h w"]:
        """ID value of each object of a frame; `image` is normalised, masks are soft, `final` is F_t as a map."""
        deep = self.trunk(torch.cat([image, own, others], 1))[0]
        return self.fuse(torch.cat([final, deep], 1))
