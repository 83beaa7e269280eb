"""Decoder of STCN: read-out and maps of the frame become one logit per pixel and object (paper, section 3.3)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.layers.conv_blocks import ResBlock, conv3x3
from vosbench.layers.joined_inputs import res_block_of_both


def _enlarged(x: Tensor, factor: int) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


class Decoder(nn.Module):
    """Residual blocks at strides 16, 8 and 4, with what the frame's own maps add to them."""

    def __init__(self, *, read_dim: int, thin_dim: int, fine_channels: tuple[int, int], dims: list[int]) -> None:
        super().__init__()
        (c4, c8), (d16, d8, d4) = fine_channels, dims
        self.compress = ResBlock(read_dim + thin_dim, d16)
        self.skip8, self.up8 = conv3x3(c8, d16), ResBlock(d16, d8)
        self.skip4, self.up4 = conv3x3(c4, d8), ResBlock(d8, d4)
        self.pred = conv3x3(d4, 1)

    def skips(
        self, fine4: Float[Tensor, "B c4 h4 w4"], fine8: Float[Tensor, "B c8 h8 w8"]
    ) -> tuple[Float[Tensor, "B D8 h4 w4"], Float[Tensor, "B D16 h8 w8"]]:
        """What the frame adds, the same for all its objects."""
        return self.skip4(fine4), self.skip8(fine8)

    def forward(
        self,
        read: Float[Tensor, "P Cv h w"],
        thin: Float[Tensor, "B Ct h w"],
        skip4: Float[Tensor, "B D8 h4 w4"],
        skip8: Float[Tensor, "B D16 h8 w8"],
        clip: Int[Tensor, " P"],
    ) -> Float[Tensor, "P H W"]:
        x = res_block_of_both(self.compress, read, thin, clip)
        x = self.up8(_enlarged(x, 2) + skip8[clip])
        x = self.up4(_enlarged(x, 2) + skip4[clip])
        return _enlarged(self.pred(torch.relu(x)), 4)[:, 0]
