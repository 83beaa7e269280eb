"""Decoder of STCN: read-out and maps of the frame become one logit per pixel and object (paper, section 3.3)."""

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn

from vosbench.layers.conv_blocks import ResBlock, conv3x3, enlarged
from vosbench.layers.joined_inputs import Halves, common_halves, of_clip, res_block_of_both
from vosbench.layers.one_plane import conv_to_one_plane


class OfFrame(NamedTuple):
    """What the frame adds at each stride, the same for all its objects."""

    at16: Halves
    at8: Float[Tensor, "B D16 h8 w8"]
    at4: Float[Tensor, "B D8 h4 w4"]


class Decoder(nn.Module):
    """Residual blocks at strides 16, 8 and 4, with what the frame's own maps add to them."""

    def __init__(self, *, read_dim: int, thin_dim: int, fine_channels: tuple[int, int], dims: list[int]) -> None:
        super().__init__()
        (c4, c8), (d16, d8, d4) = fine_channels, dims
        self.compress = ResBlock(read_dim + thin_dim, d16)
        self.skip8, self.up8 = conv3x3(c8, d16), ResBlock(d16, d8)
        self.skip4, self.up4 = conv3x3(c4, d8), ResBlock(d8, d4)
        self.pred = conv3x3(d4, 1)

    def of_frame(
        self, thin: Float[Tensor, "B Ct h w"], fine8: Float[Tensor, "B c8 h8 w8"], fine4: Float[Tensor, "B c4 h4 w4"]
    ) -> OfFrame:
        """Everything that needs no object."""
        return OfFrame(common_halves(self.compress, thin), self.skip8(fine8), self.skip4(fine4))

    def forward(self, read: Float[Tensor, "P Cv h w"], of_frame: OfFrame, clip: Int[Tensor, " P"]) -> Float[Tensor, "P H W"]:
        """One logit per pixel; `clip` is the one that an object is in."""
        x = res_block_of_both(self.compress, read, of_frame.at16, clip)
        x = self.up8(enlarged(x, 2).add_(of_clip(of_frame.at8, clip)))
        x = self.up4(enlarged(x, 2).add_(of_clip(of_frame.at4, clip))).relu_()
        assert self.pred.bias is not None
        return enlarged(conv_to_one_plane(x, self.pred.weight, self.pred.bias), 4)[:, 0]
