"""Swin Transformer as AOT's encoder (specification 3.2): timm's parts, the public code's order of padding and shifting.

timm shifts the map and then pads it to whole windows; the weights were made with a network that pads first. The two agree
where height and width are multiples of 112 pixels only.
"""

from typing import Any

import torch
from jaxtyping import Float
from timm.models.swin_transformer import SwinTransformerBlock, window_partition, window_reverse
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.layers.timm_backbone import timm_network

APART = -100.0  # added to the score of two tokens that the shift has brought together


class Swin(nn.Module):
    """Image -> one map for each of timm's `out_indices`, each through a LayerNorm of its own (`norm0`, ...).

    `options` go to timm; `key` is the configuration key that asks for trained weights.
    """

    def __init__(self, name: str, pretrained: bool, options: dict[str, Any], key: str) -> None:
        super().__init__()
        options = {"features_only": True, "strict_img_size": False, **options}
        self.net = timm_network(name, pretrained=pretrained, key=key, **options)
        blocks = [(place, block) for place, block in self.net.named_modules() if isinstance(block, SwinTransformerBlock)]
        for place, block in blocks:
            self.net.set_submodule(place, Block(block))
        info: Any = self.net.feature_info
        self.channels, self.strides, self.first = info.channels(), info.reduction(), info.module_name()[0]
        for number, channels in enumerate(self.channels):
            self.add_module(f"norm{number}", nn.LayerNorm(channels))

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        maps = self.net(image)
        return [self.get_submodule(f"norm{number}")(each).permute(0, 3, 1, 2) for number, each in enumerate(maps)]


class Block(nn.Module):
    """A block of timm's with its weights and their names; only the attention's surroundings are ours: pad at the bottom and
    right to whole windows, shift, attend within windows, shift back, crop."""

    def __init__(self, block: SwinTransformerBlock) -> None:
        super().__init__()
        self.norm1, self.attn, self.drop_path1 = block.norm1, block.attn, block.drop_path1
        self.norm2, self.mlp, self.drop_path2 = block.norm2, block.mlp, block.drop_path2
        self.window = block.window_size  # (h, w), tokens
        self.shift = block.shift_size  # (h, w), tokens

    def forward(self, x: Float[Tensor, "B h w C"]) -> Float[Tensor, "B h w C"]:
        x = x + self.drop_path1(self._attended(self.norm1(x)))
        return x + self.drop_path2(self.mlp(self.norm2(x)))

    def _attended(self, x: Float[Tensor, "B h w C"]) -> Float[Tensor, "B h w C"]:
        height, width, channels = x.shape[1:]
        x = F.pad(x, (0, 0, 0, -width % self.window[1], 0, -height % self.window[0]))
        padded = (x.shape[1], x.shape[2])
        shifted = any(self.shift)
        if shifted:
            x = torch.roll(x, (-self.shift[0], -self.shift[1]), (1, 2))
        windows = window_partition(x, self.window).view(-1, self.window[0] * self.window[1], channels)
        mask = kept_apart(padded, self.window, self.shift, x.device).to(x.dtype) if shifted else None
        windows = self.attn(windows, mask).view(-1, *self.window, channels)
        x = window_reverse(windows, self.window, *padded)
        if shifted:
            x = torch.roll(x, self.shift, (1, 2))
        return x[:, :height, :width]


def kept_apart(
    size: tuple[int, int], window: tuple[int, int], shift: tuple[int, int], device: torch.device
) -> Float[Tensor, "windows tokens tokens"]:
    """What is added to the scores within each window of a shifted map of `size`: tokens that lie next to each other only
    because the map was rolled stay apart. Along each axis the last window holds the tokens that came round."""
    regions = [
        (torch.arange(extent, device=device) >= extent - side).long()
        + (torch.arange(extent, device=device) >= extent - by).long()
        for extent, side, by in zip(size, window, shift, strict=True)
    ]
    region = 3 * regions[0][:, None] + regions[1]
    windows = window_partition(region[None, :, :, None], window).flatten(1)
    return torch.where(windows[:, :, None] == windows[:, None], 0.0, APART)
