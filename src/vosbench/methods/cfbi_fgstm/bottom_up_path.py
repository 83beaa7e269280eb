"""Bottom-up path: fine maps flow back into the coarse ones of the neck (paper, section 2.2; specification 3.4, `neck=pan`)."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.methods.cfbi_fgstm.blocks import ConvNorm
from vosbench.methods.cfbi_fgstm.plain_conv import zero_conv


class BottomUpPath(nn.Module):
    """``p8 + Z8(ReLU(CG(ReLU(p4)) + p8))``, then the same from p8 to p16, with CG of stride 2.

    Source: PANet, bottom-up path augmentation. Decision: PANet has no residual around its sum; one that starts at zero leaves
    a network that was trained without the path as it is. The maps come and go before their ReLU.
    """

    def __init__(self, channels: int) -> None:
        """`channels`: width C of the neck's maps."""
        super().__init__()
        self.down8, self.down16 = ConvNorm(3, channels, channels, stride=2), ConvNorm(3, channels, channels, stride=2)
        self.out8, self.out16 = zero_conv(3, channels, channels), zero_conv(3, channels, channels)

    def forward(
        self, p4: Float[Tensor, "B C h4 w4"], p8: Float[Tensor, "B C h8 w8"], p16: Float[Tensor, "B C h16 w16"]
    ) -> tuple[Float[Tensor, "B C h4 w4"], Float[Tensor, "B C h8 w8"], Float[Tensor, "B C h16 w16"]]:
        p8 = p8 + self.out8(F.relu(self.down8(F.relu(p4)) + p8))
        p16 = p16 + self.out16(F.relu(self.down16(F.relu(p8)) + p16))
        return p4, p8, p16
