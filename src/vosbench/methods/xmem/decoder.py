"""Decoder of XMem: read-out, sensory memory and maps of the frame become one logit per pixel and object (paper, section 3.2)."""

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn

from vosbench.layers.conv_blocks import ResBlock, conv3x3, enlarged
from vosbench.layers.fuser import Fuser
from vosbench.layers.joined_inputs import Halves, of_clip
from vosbench.layers.one_plane import conv_to_one_plane
from vosbench.methods.xmem.sensory import DecoderUpdate


class OfFrame(NamedTuple):
    """What the frame adds at each stride, the same for all its objects."""

    at16: Halves
    at8: Float[Tensor, "B D16 h8 w8"]
    at4: Float[Tensor, "B D8 h4 w4"]


class Decoder(nn.Module):
    """Fusion at stride 16, residual blocks at strides 8 and 4, and the sensory memory's update from all three."""

    def __init__(
        self,
        *,
        read_dim: int,
        sensory_dim: int,
        deep_channels: int,
        fine_channels: tuple[int, int],
        dims: tuple[int, int, int],
        update_dim: int,
    ) -> None:
        super().__init__()
        (c4, c8), (d16, d8, d4) = fine_channels, dims
        self.fuser = Fuser(read_dim + sensory_dim, deep_channels, d16)
        self.skip8, self.up8 = conv3x3(c8, d16), ResBlock(d16, d8)
        self.skip4, self.up4 = conv3x3(c4, d8), ResBlock(d8, d4)
        self.pred = conv3x3(d4, 1)
        self.update = DecoderUpdate(dims, update_dim, sensory_dim)

    def of_frame(
        self, deep: Float[Tensor, "B C h w"], fine8: Float[Tensor, "B c8 h8 w8"], fine4: Float[Tensor, "B c4 h4 w4"]
    ) -> OfFrame:
        """Everything that needs no object."""
        return OfFrame(self.fuser.of_frame(deep), self.skip8(fine8), self.skip4(fine4))

    def forward(
        self,
        read: Float[Tensor, "P C h w"],
        sensory: Float[Tensor, "P Ch h w"],
        of_frame: OfFrame,
        clip: Int[Tensor, " P"],
    ) -> tuple[Float[Tensor, "P H W"], Float[Tensor, "P Ch h w"]]:
        """One logit per pixel, and the sensory memory after this frame; `read` has the sensory memory behind the read-out."""
        x16 = self.fuser(read, of_frame.at16, clip)
        x8 = self.up8(enlarged(x16, 2).add_(of_clip(of_frame.at8, clip)))
        x4 = self.up4(enlarged(x8, 2).add_(of_clip(of_frame.at4, clip)))
        assert self.pred.bias is not None
        logits = conv_to_one_plane(x4.relu(), self.pred.weight, self.pred.bias)
        return enlarged(logits, 4)[:, 0], self.update(x16, x8, x4, logits, sensory)
