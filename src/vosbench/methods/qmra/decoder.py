"""Decoder: aggregated feature and skips become two logits per pixel (specification 3.6).

RGMP's decoder without its deepest stage: the global convolution enters at stride 16, two refinements follow.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.layers.conv_blocks import conv3x3


class GlobalConvolution(nn.Module):
    """A large separable window: a column followed by a row, plus a row followed by a column. Source: RGMP."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.l1 = nn.Conv2d(channels, out_channels, (7, 1), padding=(3, 0))
        self.l2 = nn.Conv2d(out_channels, out_channels, (1, 7), padding=(0, 3))
        self.r1 = nn.Conv2d(channels, out_channels, (1, 7), padding=(0, 3))
        self.r2 = nn.Conv2d(out_channels, out_channels, (7, 1), padding=(3, 0))

    def forward(self, x: Float[Tensor, "M C h w"]) -> Float[Tensor, "M D h w"]:
        return self.l2(self.l1(x)) + self.r2(self.r1(x))


class Residual(nn.Module):
    """``x + c2(relu(c1(relu(x))))``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.c1, self.c2 = conv3x3(channels, channels), conv3x3(channels, channels)

    def forward(self, x: Float[Tensor, "M D h w"]) -> Float[Tensor, "M D h w"]:
        return x + self.c2(F.relu(self.c1(F.relu(x))))


class Refine(nn.Module):
    """A coarse map, enlarged, meets the finer map of the encoder."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.skip = conv3x3(channels, out_channels)
        self.res_skip, self.res_merge = Residual(out_channels), Residual(out_channels)

    def side(self, fine: Float[Tensor, "M C h w"]) -> Float[Tensor, "M D h w"]:
        """The encoder's share, which knows nothing of the coarse map."""
        return self.res_skip(self.skip(fine))

    def forward(self, side: Float[Tensor, "M D h w"], coarse: Float[Tensor, "M D h2 w2"]) -> Float[Tensor, "M D h w"]:
        size = (side.shape[2], side.shape[3])
        return self.res_merge(side + F.interpolate(coarse, size=size, mode="bilinear", align_corners=False))


class Decoder(nn.Module):
    """F_a at stride 16 -> logits of (background, target) at the image's size."""

    def __init__(self, channels: int, fine_channels: tuple[int, int], width: int, *, entry: str) -> None:
        super().__init__()
        c4, c8 = fine_channels
        self.entry = GlobalConvolution(channels, width) if entry == "global_conv" else conv3x3(channels, width)
        self.res = Residual(width)
        self.up8, self.up4 = Refine(c8, width), Refine(c4, width)
        self.pred = conv3x3(width, 2)

    def sides(
        self, f4: Float[Tensor, "F C4 h4 w4"], f8: Float[Tensor, "F C8 h8 w8"]
    ) -> tuple[Float[Tensor, "F D h4 w4"], Float[Tensor, "F D h8 w8"]]:
        """What the encoder's maps contribute: once per frame where they are the same for all objects."""
        return self.up4.side(f4), self.up8.side(f8)

    def forward(
        self, x: Float[Tensor, "M C h w"], side4: Float[Tensor, "M D h4 w4"], side8: Float[Tensor, "M D h8 w8"]
    ) -> Float[Tensor, "M 2 H W"]:
        x = self.up4(side4, self.up8(side8, self.res(self.entry(x))))
        # float32: what follows are probabilities, thresholds and logarithms.
        coarse = self.pred(F.relu(x)).float()
        return F.interpolate(coarse, scale_factor=4, mode="bilinear", align_corners=False)


def target(logits: Float[Tensor, "M 2 H W"]) -> Float[Tensor, "M 1 H W"]:
    """Probability of the target."""
    return (logits[:, 1:] - logits[:, :1]).sigmoid()  # softmax over two


def odds(logits: Float[Tensor, "M 2 H W"]) -> Float[Tensor, "M H W"]:
    """Logarithm of the target's odds, what aggregation over objects starts from."""
    return logits[:, 1] - logits[:, 0]
