"""Mask decoder of STM with a last convolution that may be made for the object (paper, section 2.3; specification 3.9)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vosbench.layers.conv_blocks import ResBlock, conv3x3, enlarged
from vosbench.layers.one_plane import conv_to_one_plane
from vosbench.methods.lgdk.kernels import dynamic_conv


class Refine(nn.Module):
    """``res_merge(res_skip(skip(f)) + up2(u))``: a map of the frame joins the coarser map of an object."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.skip, self.res_skip, self.res_merge = conv3x3(channels, dim), ResBlock(dim, dim), ResBlock(dim, dim)

    def of_frame(self, fine: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D h w"]:
        """The frame's part, the same for all its objects."""
        return self.res_skip(self.skip(fine))

    def forward(
        self, of_frame: Float[Tensor, "B D h w"], x: Float[Tensor, "P D h2 w2"], clip: Int[Tensor, " P"]
    ) -> Float[Tensor, "P D h w"]:
        return self.res_merge(of_frame[clip] + enlarged(x, 2))


class Decoder(nn.Module):
    """Read-out -> one logit per pixel and object. `static` builds the ordinary last convolution."""

    def __init__(self, *, channels: int, fine_channels: tuple[int, int], dim: int, static: bool) -> None:
        super().__init__()
        c4, c8 = fine_channels
        self.entry, self.res = conv3x3(channels, dim), ResBlock(dim, dim)
        self.up8, self.up4 = Refine(c8, dim), Refine(c4, dim)
        self.pred = conv3x3(dim, 1) if static else None

    def of_frame(
        self, fine4: Float[Tensor, "B c4 h4 w4"], fine8: Float[Tensor, "B c8 h8 w8"]
    ) -> tuple[Float[Tensor, "B D h4 w4"], Float[Tensor, "B D h8 w8"]]:
        """What the frame contributes at strides 4 and 8; more than half of all the decoder's work, done once."""
        return self.up4.of_frame(fine4), self.up8.of_frame(fine8)

    def forward(
        self,
        x: Float[Tensor, "P C h w"],
        of_frame: tuple[Float[Tensor, "B D h4 w4"], Float[Tensor, "B D h8 w8"]],
        clip: Int[Tensor, " P"],
        kernel: Float[Tensor, "P K"] | None,
    ) -> Float[Tensor, "P H W"]:
        at4, at8 = of_frame
        x = self.up8(at8, self.res(self.entry(x)), clip)
        x = torch.relu(self.up4(at4, x, clip))
        if self.pred is not None:
            assert self.pred.bias is not None
            logits = conv_to_one_plane(x, self.pred.weight, self.pred.bias)
        else:
            assert kernel is not None
            logits = dynamic_conv(x, kernel)
        return enlarged(logits, 4)[:, 0]
