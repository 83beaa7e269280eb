"""Resizing with shared corners (align_corners), and a 3x3 convolution of an enlarged map done mostly at the small size."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from vosbench.layers.winograd import convolved


def resized(x: Float[Tensor, "B C h w"], size: tuple[int, int]) -> Float[Tensor, "B C h2 w2"]:
    """Bilinear, corners on corners."""
    return x if x.shape[-2:] == size else F.interpolate(x, size=size, mode="bilinear", align_corners=True)


def labels_on(label_map: Int[Tensor, "B H W"], size: tuple[int, int]) -> Int[Tensor, "B h w"]:
    """PyTorch's plain nearest, source index ``floor(i H / h)``: labels sit a little off the shared corners, as published."""
    return F.interpolate(label_map[:, None].float(), size=size, mode="nearest")[:, 0].long()


def enlarging(length: int, to: int, mode: str, like: Tensor) -> Float[Tensor, "to length"]:
    """Matrix that resizes one axis; `mode` is bilinear or bicubic."""
    identity = torch.eye(length, device=like.device, dtype=torch.float32)[None, None]
    return F.interpolate(identity, size=(to, length), mode=mode, align_corners=True)[0, 0].to(like.dtype)


def _shifted(matrix: Float[Tensor, "H h"]) -> Float[Tensor, "H 3 h"]:
    """What the taps -1, 0, 1 along this axis read: rows of the matrix moved by one, zeros where the padding is."""
    padded = F.pad(matrix, (0, 0, 1, 1))
    return torch.stack([padded[:-2], matrix, padded[2:]], 1)


def conv3x3_of_enlarged(
    coarse: Float[Tensor, "P C h w"], fine: Float[Tensor, "P C2 H W"], weight: Float[Tensor, "O CplusC2 3 3"], mode: str
) -> Float[Tensor, "P O H W"]:
    """``conv3x3([enlarged(coarse), fine])`` with zero padding, without the enlarged map.

    Enlarging is a matrix on each axis, and so is each row and column of taps; both are linear, so channels are mixed at
    the small size, nine times, and what is left for the large size are products along one axis: an eighth of the work for a
    factor of 4. Equal up to rounding.
    """
    height, width = fine.shape[2:]
    channels, out = coarse.shape[1], weight.shape[0]
    batch, _, h, w = coarse.shape
    down = _shifted(enlarging(h, height, mode, coarse)).flatten(1)  # H (dy h)
    right = _shifted(enlarging(w, width, mode, coarse)).flatten(1)  # W (dx w)
    taps = weight[:, :channels].permute(0, 2, 3, 1).reshape(9 * out, channels)  # (O dy dx) C
    mixed = (taps @ coarse.flatten(2)).view(batch, out, 3, 3, h, w).transpose(3, 4).reshape(batch * out * 3 * h, 3 * w)
    rows = (mixed @ right.T).view(batch * out, 3 * h, width)
    whole = torch.bmm(down.expand(len(rows), -1, -1), rows).view(batch, out, height, width)
    return whole.add_(convolved(fine, weight[:, channels:], None))
