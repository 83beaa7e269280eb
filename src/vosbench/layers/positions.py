"""Fixed sine-cosine position codes of a grid of tokens."""

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
