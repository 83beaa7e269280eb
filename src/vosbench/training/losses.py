"""Losses over the steps of an unrolled clip. Frames that are given teach nothing and are left out."""

import torch
from torch import Tensor, nn

from vosbench.layers.mask_losses import dice_loss, hardest_cross_entropy, only_present
from vosbench.methods.method import Step
from vosbench.video.clip import Clip


class BootstrappedDice(nn.Module):
    """``ce_weight CE over the hardest pixels + dice_weight Dice``, mean over the frames `first`..T-1 (STMA, section 6.2 of its
    spec; STCN, CFBI with a Dice weight of 0).

    The share of pixels that count falls linearly from 1 to `fraction` between the iterations `start` and `end`.
    """

    def __init__(self, start: int, end: int, fraction: float, ce_weight: float, dice_weight: float, first: int) -> None:
        super().__init__()
        if not 0 <= start <= end or not 0 < fraction <= 1:
            raise ValueError(f"need 0 <= start <= end and 0 < fraction <= 1, got start={start}, end={end}, fraction={fraction}")
        if first < 1:
            raise ValueError(f"first must be at least 1, got {first}: frame 0 is given and teaches nothing")
        self.start, self.end, self.fraction, self.first = start, end, fraction, first
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
        for t in range(self.first, len(steps)):
            logits, label_map = only_present(steps[t].logits.float(), clip.present), clip.label_map[:, t]
            ce.append(hardest_cross_entropy(logits, label_map, share))
            dice.append(dice_loss(logits.softmax(1)[:, 1:], clip.masks(t), clip.present, label_map != 255))
        terms = {"ce": self.ce_weight * torch.stack(ce).mean(), "dice": self.dice_weight * torch.stack(dice).mean()}
        return {name: term for name, term in terms.items() if getattr(self, f"{name}_weight")}
