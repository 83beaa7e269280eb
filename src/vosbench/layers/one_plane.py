"""3x3 convolution to one plane, the last of a mask decoder: a product with nine taps, then a shifted sum of the nine planes.

The ordinary convolution of one plane costs a processor five times as much, and one per map a group of its own each.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def conv_to_one_plane(
    x: Float[Tensor, "P D h w"], weight: Float[Tensor, "Q D 3 3"], bias: Float[Tensor, " Q"]
) -> Float[Tensor, "P 1 h w"]:
    """Size-keeping convolution of each map with its own kernel (Q = P), or of all with the same (Q = 1). float32."""
    taps = weight.flip(2, 3).flatten(2).transpose(1, 2)  # Q 9 D; flipped, because each tap is spread and not gathered
    planes = torch.matmul(taps, x.flatten(2)).float()
    return F.fold(planes, (x.shape[2], x.shape[3]), kernel_size=3, padding=1) + bias.float()[:, None, None, None]
