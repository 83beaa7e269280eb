"""UperNet's head: pyramid pooling on the deepest map, a feature pyramid, one fused map at stride 4 (Xiao et al., ECCV 2018)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

BINS = (1, 2, 3, 6)  # cells along a side of the pooled maps


def conv_bn_relu(channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    """Convolution that keeps the size -> BatchNorm -> ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels, out_channels, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def resized(x: Float[Tensor, "B C h w"], like: Float[Tensor, "B D H W"]) -> Float[Tensor, "B C H W"]:
    """Bilinear, to the size of another map."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


class PyramidPooling(nn.Module):
    """Averages over grids of several sizes beside the map itself, mixed: what stands where in the whole image."""

    def __init__(self, channels: int, pool_width: int, width: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList([conv_bn_relu(channels, pool_width, 1) for _ in BINS])
        self.mix = conv_bn_relu(channels + len(BINS) * pool_width, width, 3)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B q h w"]:
        # Resized before the convolution, not after: a batch norm in training cannot see a single cell of a single image.
        pooled = [resized(F.adaptive_avg_pool2d(x, size), x) for size in BINS]
        return self.mix(torch.cat([x, *(level(part) for level, part in zip(self.levels, pooled, strict=True))], 1))


class UperHead(nn.Module):
    """Maps at strides 4, 8, 16 and 32 -> one map g of `width` channels at stride 4 (specification 3.10).

    g is what the layer that predicts reads, and what AOT's decoder gets.
    """

    def __init__(self, channels: list[int], pool_width: int, width: int) -> None:
        super().__init__()
        *fine, deepest = channels
        self.pool = PyramidPooling(deepest, pool_width, width)
        self.laterals = nn.ModuleList([conv_bn_relu(count, width, 1) for count in fine])
        self.smooth = nn.ModuleList([conv_bn_relu(width, width, 3) for _ in fine])
        self.fuse = conv_bn_relu(len(channels) * width, width, 3)

    def forward(self, maps: list[Tensor]) -> Float[Tensor, "B q h4 w4"]:
        *fine, deepest = maps
        upper = self.pool(deepest)
        levels = [upper]  # from the coarsest to the finest
        for lateral, smooth, shortcut in zip(self.laterals[::-1], self.smooth[::-1], fine[::-1], strict=True):  # type: ignore[arg-type]
            side = lateral(shortcut)
            upper = side + resized(upper, side)
            levels.append(smooth(upper))
        return self.fuse(torch.cat([resized(level, fine[0]) for level in levels[::-1]], 1))
