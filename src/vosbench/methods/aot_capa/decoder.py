"""Decoder: from the blocks' outputs to one logit per identity at stride 4 (specification 3.8)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNorm(nn.Module):
    """Convolution that keeps the size -> GroupNorm."""

    def __init__(self, channels: int, out_channels: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, kernel, padding=kernel // 2)
        self.gn = nn.GroupNorm(groups, out_channels)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C2 h w"]:
        return self.gn(self.conv(x))


class Decoder(nn.Module):
    """Feature pyramid: the deepest map is mixed, enlarged twice, and meets the encoder's maps at strides 16, 8 and 4."""

    def __init__(
        self, channels: int, fine_channels: tuple[int, int, int], hidden: int, groups: int, outputs: int, *, align_corners: bool
    ) -> None:
        """`fine_channels`: of the maps at strides 4, 8 and 16. `groups`: of every GroupNorm. `outputs`: background and
        identities."""
        super().__init__()
        c4, c8, c16 = fine_channels
        self.align_corners = align_corners
        self.conv_in = ConvNorm(channels, hidden, 1, groups)
        self.conv_16x = ConvNorm(hidden, hidden, 3, groups)
        self.conv_8x = ConvNorm(hidden, hidden // 2, 3, groups)
        self.conv_4x = ConvNorm(hidden // 2, hidden // 2, 3, groups)
        self.adapter_16x = nn.Conv2d(c16, hidden, 1)
        self.adapter_8x = nn.Conv2d(c8, hidden, 1)
        self.adapter_4x = nn.Conv2d(c4, hidden // 2, 1)
        self.conv_out = nn.Conv2d(hidden // 2, outputs, 1)

    def skips(
        self, f4: Float[Tensor, "B c4 h4 w4"], f8: Float[Tensor, "B c8 h8 w8"], f16: Float[Tensor, "B c16 h w"]
    ) -> tuple[Float[Tensor, "B D4 h4 w4"], Float[Tensor, "B D8 h8 w8"], Float[Tensor, "B D8 h w"]]:
        """What the image contributes, the same for all groups of objects."""
        return self.adapter_4x(f4), self.adapter_8x(f8), self.adapter_16x(f16)

    def forward(
        self,
        x: Float[Tensor, "B C h w"],
        skip4: Float[Tensor, "B D4 h4 w4"],
        skip8: Float[Tensor, "B D8 h8 w8"],
        skip16: Float[Tensor, "B D8 h w"],
    ) -> Float[Tensor, "B K h4 w4"]:
        x = F.relu(self.conv_in(x), inplace=True)
        x = F.relu(self.conv_16x(skip16 + x), inplace=True)
        x = F.relu(self.conv_8x(skip8 + self._enlarged(x, skip8)), inplace=True)
        x = F.relu(self.conv_4x(skip4 + self._enlarged(x, skip4)), inplace=True)
        return self.conv_out(x)

    def _enlarged(self, x: Tensor, like: Tensor) -> Tensor:
        return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=self.align_corners)

    def relabelled(self, order: list[int]) -> None:
        """Let the logit of identity i (from 0) be what that of identity ``order[i]`` was."""
        taken = [0, *(identity + 1 for identity in order)]
        with torch.no_grad():
            for tensor in (self.conv_out.weight, self.conv_out.bias):
                assert tensor is not None
                tensor.copy_(tensor[taken].clone())
