"""Fixed sine-cosine position codes of a grid of tokens."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def sine_cosine_2d(
    size: tuple[int, int], channels: int, *, grid: int, order: str = "xy", device: torch.device | None = None
) -> Float[Tensor, "L C"]:
    """Position code of each token of an h x w grid, row by row: the channels' first half encodes the column, the second the
    row (`order` "yx" swaps them), each half ``[sin(x w_i), cos(x w_i)]`` with ``w_i = 10000^(-i / (C/4))``.

    Coordinates are mapped to a grid x grid training grid, ``x' = (x + 1/2) grid / w - 1/2``, so that another size sees the
    same range; at h = w = grid they are the integers. Source: MAE, whose table this formula gives. float32.
    """
    frequency = 10000 ** (-torch.arange(channels // 4, dtype=torch.float32, device=device) / (channels // 4))

    def axis(length: int) -> Tensor:
        place = (torch.arange(length, dtype=torch.float32, device=device) + 0.5) * (grid / length) - 0.5
        angle = place[:, None] * frequency
        return torch.cat([angle.sin(), angle.cos()], 1)

    height, width = size
    rows = axis(height)[:, None].expand(height, width, -1)
    columns = axis(width)[None].expand(height, width, -1)
    halves = [columns, rows] if order == "xy" else [rows, columns]
    return torch.cat(halves, 2).flatten(0, 1)


def sine_cosine_between_borders(
    size: tuple[int, int], channels: int, *, device: torch.device | None = None
) -> Float[Tensor, "L C"]:
    """Position code of each token of an h x w grid, row by row: the first half of the channels encodes the row, the second the
    column, each from 0 at the first to 2 pi at the last, whatever the size.

    Channel i of a half is ``sin(u / t)`` (i even) or ``cos(u / t)`` (i odd) with ``t = 10000^(2 floor(i / 2) / (C / 2))``.
    Source: DETR, whose coordinates start at one step instead of 0; AOT. float32.
    """
    half = channels // 2
    channel = torch.arange(half, dtype=torch.float32, device=device)
    period = 10000 ** (2 * (channel / 2).floor() / half)

    def axis(length: int) -> Tensor:
        place = torch.arange(length, dtype=torch.float32, device=device) * (2 * math.pi / (length - 1 + 1e-6))
        angle = place[:, None] / period
        return torch.stack([angle[:, 0::2].sin(), angle[:, 1::2].cos()], 2).flatten(1)

    height, width = size
    rows = axis(height)[:, None].expand(height, width, -1)
    columns = axis(width)[None].expand(height, width, -1)
    return torch.cat([rows, columns], 2).flatten(0, 1)
