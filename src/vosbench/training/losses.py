"""Losses over the steps of an unrolled clip. The first frame is given, so it teaches nothing and is left out."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.methods.method import Step
from vosbench.video.clip import Clip


class BootstrappedDice(nn.Module):
    """``0.5 CE over the hardest pixels + 0.5 Dice``, mean over the frames 1..T-1 (STMA, section 6.2 of its spec).

    The share of pixels that count falls linearly from 1 to `fraction` between the iterations `start` and `end`.
    """

    def __init__(self, start: int, end: int, fraction: float, ce_weight: float, dice_weight: float) -> None:
        super().__init__()
        if not 0 <= start <= end or not 0 < fraction <= 1:
            raise ValueError(f"need 0 <= start <= end and 0 < fraction <= 1, got start={start}, end={end}, fraction={fraction}")
        self.start, self.end, self.fraction = start, end, fraction
        self.ce_weight, self.dice_weight = ce_weight, dice_weight

    def share(self, iteration: int) -> float:
        """Share of pixels that count at an iteration."""
        if iteration < self.start:
            return 1.0
        if iteration >= self.end:
            return self.fraction
        return self.fraction + (1 - self.fraction) * (self.end - iteration) / (self.end - self.start)

    def forward(self, steps: list[Step], clip: Clip, iteration: int) -> dict[str, Tensor]:
        """Weighted terms by name; their sum is the loss."""
        share = self.share(iteration)
        ce, dice = [], []
        for t in range(1, len(steps)):
            logits, label_map = only_present(steps[t].logits.float(), clip.present), clip.label_map[:, t]
            ce.append(hardest_cross_entropy(logits, label_map, share))
            dice.append(dice_loss(logits.softmax(1)[:, 1:], clip.masks(t), clip.present, label_map != 255))
        return {"ce": self.ce_weight * torch.stack(ce).mean(), "dice": self.dice_weight * torch.stack(dice).mean()}


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
