"""`Fuser`: an object's own map and the frame's are mixed into one. Source: STCN and XMem, feature fusion block."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from vosbench.layers.conv_blocks import CBAM, ResBlock
from vosbench.layers.joined_inputs import Halves, common_halves, res_block_of_both


class Fuser(nn.Module):
    """Residual block over both maps, CBAM, residual block."""

    def __init__(self, own_channels: int, common_channels: int, dim: int) -> None:
        super().__init__()
        self.block1 = ResBlock(own_channels + common_channels, dim)
        self.attention = CBAM(dim)
        self.block2 = ResBlock(dim, dim)

    def of_frame(self, common: Float[Tensor, "B C2 h w"]) -> Halves:
        """What the frame's map adds, the same for all its objects."""
        return common_halves(self.block1, common)

    def forward(self, x: Float[Tensor, "P C h w"], of_frame: Halves, clip: Int[Tensor, " P"]) -> Float[Tensor, "P Cv h w"]:
        x = res_block_of_both(self.block1, x, of_frame, clip)
        return self.block2(x + self.attention(x))
