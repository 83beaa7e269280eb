"""DeepLabV3+ on the backbone: atrous spatial pyramid pooling and decoder (specification 3.2)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.layers.frozen_batch_norm import freeze_batch_norms
from vosbench.methods.cfbi_fgstm.blocks import ConvNorm
from vosbench.methods.cfbi_fgstm.options import DeepLabOptions
from vosbench.methods.cfbi_fgstm.resizing import conv3x3_of_enlarged


def _layer(kernel: int, channels: int, out_channels: int, dilation: int = 1) -> ConvNorm:
    return ConvNorm(kernel, channels, out_channels, dilation=dilation, norm=nn.BatchNorm2d, fan="fan_in")


class ASPP(nn.Module):
    """Four branches of growing dilation and one that sees the whole image, mixed to A channels."""

    def __init__(self, channels: int, options: DeepLabOptions) -> None:
        super().__init__()
        dim = options.dim
        self.branches = nn.ModuleList(
            [_layer(1, channels, dim), *(_layer(3, channels, dim, dilation) for dilation in options.dilations)]
        )
        self.pooled = _layer(1, channels, dim)
        self.project = _layer(1, (len(self.branches) + 1) * dim, dim)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, c16: Float[Tensor, "B c16 h w"]) -> Float[Tensor, "B A h w"]:
        maps = [F.relu(branch(c16)) for branch in self.branches]
        whole = F.relu(self.pooled(c16.mean((2, 3), keepdim=True)))
        return self.dropout(F.relu(self.project(torch.cat([*maps, whole.expand_as(maps[0])], 1))))


class Decoder(nn.Module):
    """The pyramid's map enlarged to stride 4 and joined with the backbone's fine map."""

    def __init__(self, channels: int, options: DeepLabOptions) -> None:
        super().__init__()
        dim = options.dim
        self.shortcut = _layer(1, channels, options.shortcut_dim)
        self.first = _layer(3, dim + options.shortcut_dim, dim)
        self.second = _layer(3, dim, dim)

    def forward(self, a: Float[Tensor, "B A h16 w16"], c4: Float[Tensor, "B c4 h w"]) -> Float[Tensor, "B A h w"]:
        fine = F.relu(self.shortcut(c4))
        x = F.relu(self.first.norm(conv3x3_of_enlarged(a, fine, self.first.conv.weight, "bilinear")))
        return F.relu(self.second(x))


class DeepLab(nn.Module):
    """Both parts; `channels` are those of the backbone at strides 4, 8, 16. With frozen norms these are the identity until
    weights are loaded."""

    def __init__(self, channels: list[int], options: DeepLabOptions, *, frozen: bool) -> None:
        super().__init__()
        self.aspp, self.decoder = ASPP(channels[2], options), Decoder(channels[0], options)
        if frozen:
            freeze_batch_norms(self, trained=False, in_place=True)
