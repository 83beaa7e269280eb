"""Decoder phi: read-out and fine maps of the test frame become one logit per pixel and object (specification 3.9)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vosbench.layers.conv_blocks import Fuse, ResBlock, conv3x3, enlarged


class Decoder(nn.Module):
    """Fusion at stride 16, then two residual blocks with skips at strides 8 and 4. Source: XMem, without hidden state."""

    def __init__(self, *, channels: int, fine_channels: tuple[int, int], dims: list[int]) -> None:
        super().__init__()
        (c4, c8), (d16, d8, d4) = fine_channels, dims
        self.fuse = Fuse(channels, d16)
        self.skip8, self.up8 = conv3x3(c8, d16), ResBlock(d16, d8)
        self.skip4, self.up4 = conv3x3(c4, d8), ResBlock(d8, d4)
        self.mask = conv3x3(d4, 1)

    def skips(
        self, fine4: Float[Tensor, "B c4 h4 w4"], fine8: Float[Tensor, "B c8 h8 w8"]
    ) -> tuple[Float[Tensor, "B D8 h4 w4"], Float[Tensor, "B D16 h8 w8"]]:
        """What the frame contributes, the same for all its objects."""
        return self.skip4(fine4), self.skip8(fine8)

    def forward(
        self, x: Float[Tensor, "P C h w"], skip4: Float[Tensor, "P D8 h4 w4"], skip8: Float[Tensor, "P D16 h8 w8"]
    ) -> Float[Tensor, "P H W"]:
        x = self.fuse(x)
        x = self.up8(enlarged(x, 2) + skip8)
        x = self.up4(enlarged(x, 2) + skip4)
        return enlarged(self.mask(torch.relu(x)), 4)[:, 0]
