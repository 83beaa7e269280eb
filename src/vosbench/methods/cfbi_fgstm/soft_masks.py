"""Soft masks on the grid of stride 16 (specification 3.5)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from vosbench.methods.cfbi_fgstm.resizing import labels_on


def soft_masks(label_map: Int[Tensor, "B H W"], entries: int, size: tuple[int, int]) -> Float[Tensor, "B K h w"]:
    """Share of each entry (0 background, 1..N objects) in the 17 x 17 pixels around every position of stride 16.

    The label map is first brought to the network's input size (H', W') = `size` by the plain nearest rule; windows are centred
    on the positions, and pixels beyond the border do not count. A value that is no entry belongs to none.
    Decision (the paper is silent): the nearest label at stride 16 would lose objects below 16 pixels.
    """
    planes = (labels_on(label_map, size)[:, None] == torch.arange(entries, device=label_map.device)[:, None, None]).float()
    return F.avg_pool2d(planes, 17, stride=16, padding=8, count_include_pad=False)
