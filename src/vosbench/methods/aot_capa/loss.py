"""AOT's loss: cross-entropy over the hardest pixels and soft Jaccard, on the reference frame too while training is young."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vosbench.layers.mask_losses import hardest_cross_entropy, only_present
from vosbench.methods.method import Step
from vosbench.video.clip import Clip


class AOTLoss(nn.Module):
    """``0.5 CE_topk + 0.5 (1 - softJ)``, mean over the frames 1..T-1, plus ``alpha`` times that of the reference frame.

    The share of pixels that count in CE falls linearly from 1 to `fraction` until iteration `mining_end` (fraction 1 turns
    mining off); ``alpha = max(0, 1 - iteration / aux_end)``. Source: section 6.2 of the specification.
    """

    def __init__(self, fraction: float, mining_end: int, aux_end: int) -> None:
        super().__init__()
        if not 0 < fraction <= 1 or mining_end < 1 or aux_end < 1:
            raise ValueError(
                "need 0 < fraction <= 1 and at least one iteration of mining_end and aux_end, "
                f"got fraction={fraction}, mining_end={mining_end}, aux_end={aux_end}"
            )
        self.fraction, self.mining_end, self.aux_end = fraction, mining_end, aux_end

    def forward(self, steps: list[Step], clip: Clip, iteration: int) -> dict[str, Tensor]:
        """Weighted terms by name; their sum is the loss."""
        ramp = min(1.0, iteration / self.mining_end)
        share = self.fraction * ramp + 1 - ramp
        ce, jaccard = [], []
        for t in range(1, len(steps)):
            logits, label_map = only_present(steps[t].logits.float(), clip.present), clip.label_map[:, t]
            ce.append(hardest_cross_entropy(logits, label_map, share))
            jaccard.append(soft_jaccard_loss(logits, label_map))
        terms = {"ce": 0.5 * torch.stack(ce).mean(), "jaccard": 0.5 * torch.stack(jaccard).mean()}
        alpha = max(0.0, 1 - iteration / self.aux_end)
        reference = steps[0].memory.reference_logits
        if alpha and reference is not None:
            logits, label_map = only_present(reference.float(), clip.present), clip.label_map[:, 0]
            both = hardest_cross_entropy(logits, label_map, share) + soft_jaccard_loss(logits, label_map)
            terms["reference"] = alpha * 0.5 * both
        return terms


def soft_jaccard_loss(logits: Float[Tensor, "B K H W"], label_map: Int[Tensor, "B H W"]) -> Float[Tensor, ""]:
    """``1 - TP / (TP + FP + FN + 1e-6)`` with soft counts, mean over the classes of each label map, background included, then
    over samples. Label 255 counts nowhere."""
    valid = label_map != 255
    prob = logits.softmax(1) * valid[:, None]
    classes = torch.arange(logits.shape[1], device=logits.device)
    truth = ((label_map[:, None] == classes[None, :, None, None]) & valid[:, None]).float()
    overlap, counted = (prob * truth).sum((2, 3)), truth.sum((2, 3))
    loss = 1 - overlap / (prob.sum((2, 3)) + counted - overlap + 1e-6)
    present = (counted > 0).float()
    return ((loss * present).sum(1) / present.sum(1).clamp(min=1)).mean()
