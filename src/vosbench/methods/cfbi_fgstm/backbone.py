"""The backbone: a residual network from timm at output stride 16, with the public code's multi-grid (specification 3.1)."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vosbench.errors import ConfigError
from vosbench.layers.frozen_batch_norm import FrozenBatchNorm, freeze_batch_norms
from vosbench.layers.timm_backbone import timm_network
from vosbench.methods.cfbi_fgstm.options import BackboneOptions


class Backbone(nn.Module):
    """Stages 1, 2 and 4 of the network: maps at strides 4, 8 and 16; stage 3, of stride 16 too, is not used."""

    def __init__(self, options: BackboneOptions) -> None:
        super().__init__()
        trained = bool(options.pretrained)
        # timm begins with residual branches of gain zero, which frozen would be dead for ever.
        start = {} if trained else {"zero_init_last": False}
        trunk: Any = timm_network(
            options.name,
            pretrained=trained,
            key="method.backbone.pretrained",
            features_only=True,
            output_stride=16,
            out_indices=(1, 2, 4),
            **start,
        )
        self.trunk = trunk
        self.channels: list[int] = trunk.feature_info.channels()
        if options.multi_grid is not None:
            self._dilate(options.multi_grid)
        if options.norm == "frozen":
            freeze_batch_norms(self, trained=trained, in_place=True)

    def forward(
        self, image: Float[Tensor, "B 3 H W"]
    ) -> tuple[Float[Tensor, "B c4 h4 w4"], Float[Tensor, "B c8 h8 w8"], Float[Tensor, "B c16 h16 w16"]]:
        c4, c8, c16 = self.trunk(image)
        return c4, c8, c16

    def check_trained(self) -> None:
        """Statistics that are frozen must come from a training; these are the ones a random network begins with."""
        first = next((module for module in self.modules() if isinstance(module, FrozenBatchNorm)), None)
        if first is not None and not bool(torch.any(first.running_mean)):
            raise ConfigError(
                "method.backbone.norm=frozen: the statistics to freeze were never loaded; set method.backbone.pretrained=true, "
                "start from a checkpoint, or train them with method.backbone.norm=trained."
            )

    def _dilate(self, dilations: list[int]) -> None:
        """Dilation of the 3x3 convolutions of stage 4, block by block; timm gives 1, 2, 2."""
        blocks = list(self.trunk.layer4)  # type: ignore[arg-type]  # a Sequential
        if len(blocks) != len(dilations):
            raise ConfigError(
                f"method.backbone.multi_grid={dilations}: expected {len(blocks)} dilations, one for each block of stage 4."
            )
        for block, dilation in zip(blocks, dilations, strict=True):
            block.conv2.dilation = block.conv2.padding = (dilation, dilation)
