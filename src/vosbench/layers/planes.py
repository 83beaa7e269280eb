"""Soft object planes and logits."""

import torch
from jaxtyping import Float
from torch import Tensor

SMALLEST = 1e-7  # a share of nothing: log(1e-7) = -16, finite in every precision
ABSENT = 1e-30  # of a plane that is empty all over: interpolated between -16 and 0, logits of -16 would still take a share


def planes_to_logits(planes: Float[Tensor, "B N h w"]) -> Float[Tensor, "B N+1 h w"]:
    """Logits whose softmax gives the planes back, background first; the background is what the planes leave over."""
    background = (1 - planes.sum(1, keepdim=True)).clamp(min=SMALLEST)
    least = torch.where(planes.amax((2, 3), keepdim=True) > SMALLEST, SMALLEST, ABSENT)
    return torch.cat([background, planes.maximum(least)], 1).log()
