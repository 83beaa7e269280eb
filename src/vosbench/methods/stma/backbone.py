"""Stems of STMA: from an image to raw tokens and to the fine maps the decoder reads (specification 3.2 to 3.4).

`ConvStem` is the convolutional half of ConvMAE's ConvViT-B; `PatchStem` is ViT-B's patch embedding with SimVOS's upsampling.
The transformer blocks that follow are those of `stml.STML`.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.layers.conv_blocks import LayerNorm2d
from vosbench.layers.positions import sine_cosine_2d
from vosbench.methods.stma.options import BackboneOptions


class Patches(nn.Module):
    """Convolution without overlap -> LayerNorm -> GELU."""

    def __init__(self, channels: int, out_channels: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, out_channels, patch, stride=patch)
        self.norm = LayerNorm2d(out_channels, eps=1e-5)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C2 h2 w2"]:
        return F.gelu(self.norm(self.proj(x)))


class ConvMlp(nn.Module):
    """Two 1x1 convolutions with GELU between."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, 4 * channels, 1)
        self.fc2 = nn.Conv2d(4 * channels, channels, 1)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        return self.fc2(F.gelu(self.fc1(x)))


class CBlock(nn.Module):
    """ConvMAE's convolutional block: a depth-wise 5x5 convolution in the place of attention, then an MLP."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = LayerNorm2d(channels, eps=1e-5)
        self.conv1 = nn.Conv2d(channels, channels, 1)
        self.attn = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.conv2 = nn.Conv2d(channels, channels, 1)
        self.norm2 = LayerNorm2d(channels, eps=1e-5)
        self.mlp = ConvMlp(channels)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        x = x + self.conv2(self.attn(self.conv1(self.norm1(x))))
        return x + self.mlp(self.norm2(x))


class ConvStem(nn.Module):
    """Normalised image -> raw tokens (before the position code) and the maps at strides 4 and 8."""

    def __init__(self, options: BackboneOptions, dim: int) -> None:
        super().__init__()
        c4, c8 = options.channels
        self.pe1, self.pe2, self.pe3 = Patches(3, c4, 4), Patches(c4, c8, 2), Patches(c8, dim, 2)
        self.b1 = nn.Sequential(*[CBlock(c4) for _ in range(options.blocks[0])])
        self.b2 = nn.Sequential(*[CBlock(c8) for _ in range(options.blocks[1])])
        self.pe4 = nn.Linear(dim, dim)
        nn.init.trunc_normal_(self.pe4.weight, std=0.02)
        nn.init.zeros_(self.pe4.bias)

    def forward(
        self, image: Float[Tensor, "B 3 H W"]
    ) -> tuple[Float[Tensor, "B L C"], Float[Tensor, "B c4 h4 w4"] | None, Float[Tensor, "B c8 h8 w8"] | None]:
        fine4 = self.b1(self.pe1(image))
        fine8 = self.b2(self.pe2(fine4))
        return self.pe4(self.pe3(fine8).flatten(2).transpose(1, 2)), fine4, fine8


class PatchStem(nn.Module):
    """ViT's patch embedding; the maps at strides 4 and 8 are upsampled from the final tokens. Source: SimVOS."""

    def __init__(self, options: BackboneOptions, dim: int) -> None:
        super().__init__()
        c4, c8 = options.channels
        self.proj = nn.Conv2d(3, dim, 16, stride=16)
        self.up8 = nn.ConvTranspose2d(dim, c8, 2, stride=2)
        self.up4 = nn.Sequential(
            nn.ConvTranspose2d(dim, dim, 2, stride=2),
            LayerNorm2d(dim, eps=1e-6),
            nn.GELU(),
            nn.ConvTranspose2d(dim, c4, 2, stride=2),
        )

    def forward(
        self, image: Float[Tensor, "B 3 H W"]
    ) -> tuple[Float[Tensor, "B L C"], Float[Tensor, "B c4 h4 w4"] | None, Float[Tensor, "B c8 h8 w8"] | None]:
        return self.proj(image).flatten(2).transpose(1, 2), None, None

    def fine_maps(self, final: Float[Tensor, "B C h w"]) -> tuple[Float[Tensor, "B c4 h4 w4"], Float[Tensor, "B c8 h8 w8"]]:
        """Maps at strides 4 and 8 from the normalised final tokens as a map."""
        return self.up4(final), self.up8(final)


def stem(options: BackboneOptions, dim: int) -> ConvStem | PatchStem:
    """The stem of that name."""
    return ConvStem(options, dim) if options.name == "convvit_b" else PatchStem(options, dim)


def position_code(options: BackboneOptions, size: tuple[int, int], dim: int, device: torch.device) -> Float[Tensor, "L C"]:
    """P of specification 3.3, for the grid of a padded frame of `size` (H, W)."""
    return sine_cosine_2d((size[0] // 16, size[1] // 16), dim, grid=options.grid, order=options.pos_order, device=device)
