"""Soft object planes and logits."""

import torch
from jaxtyping import Float
from torch import Tensor

SMALLEST = 1e-7  # a share of nothing: log(1e-7) = -16, finite in every precision


def planes_to_logits(planes: Float[Tensor, "B N h w"]) -> Float[Tensor, "B N+1 h w"]:
    """Logits whose softmax gives the planes back, background first; the background is what the planes leave over."""
    background = (1 - planes.sum(1, keepdim=True)).clamp(min=0)
    return torch.cat([background, planes], 1).clamp(min=SMALLEST).log()
