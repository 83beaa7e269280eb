"""Losses between logits and label maps. Pure functions, shared by the stages' losses."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


def only_present(logits: Float[Tensor, "B K H W"], present: Bool[Tensor, "B N"]) -> Float[Tensor, "B K H W"]:
    """Logits in which the channels that hold no object cannot win and get no gradient."""
    return torch.cat([logits[:, :1], logits[:, 1:].masked_fill(~present[:, :, None, None], -1e4)], 1)


def hardest_cross_entropy(logits: Float[Tensor, "B K H W"], label_map: Int[Tensor, "B H W"], share: float) -> Float[Tensor, ""]:
    """Mean cross-entropy over the given share of pixels with the largest loss, per sample; label 255 counts nowhere."""
    pixels = F.cross_entropy(logits, label_map, ignore_index=255, reduction="none").flatten(1)
    valid = (label_map != 255).flatten(1).sum(1).clamp(min=1)
    if share >= 1:
        return (pixels.sum(1) / valid).mean()
    most = max(1, int(share * pixels.shape[1]))
    hardest = pixels.topk(most, dim=1).values
    keep = (share * valid).long().clamp(min=1)
    counted = torch.arange(most, device=pixels.device)[None] < keep[:, None]
    return ((hardest * counted).sum(1) / keep).mean()


def dice_loss(
    prob: Float[Tensor, "B N H W"], masks: Float[Tensor, "B N H W"], present: Bool[Tensor, "B N"], valid: Bool[Tensor, "B H W"]
) -> Float[Tensor, ""]:
    """Mean over real objects of ``1 - (2 sum p g + 1) / (sum p + sum g + 1)``, then over samples."""
    prob = prob * valid[:, None]
    overlap, total = (prob * masks).sum((2, 3)), (prob + masks).sum((2, 3))
    loss = 1 - (2 * overlap + 1) / (total + 1)
    objects = present.sum(1).clamp(min=1)
    return ((loss * present).sum(1) / objects).mean()
