"""QMRA's loss (equation 10): box map, mask and refined mask of the frames that are not prompted."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.methods.method import Step
from vosbench.methods.qmra.box_map import rasterised, tight_boxes
from vosbench.video.clip import Clip

OUTPUTS = ("box", "prior", "mask", "refined")  # "prior" is stage 1 where it predicts a mask
IGNORED = 255


class QMRALoss(nn.Module):
    """``l(B_q, B_l) + l(S_q, S_l) + l(S_q^r, S_l)`` with ``l = cross-entropy + dice_weight Dice``, object by object.

    The label of a box map is that of the augmented mask's tight box. A variant without an output drops its term.
    """

    def __init__(self, dice_weight: float, aggregate: bool) -> None:
        """`aggregate`: the last mask is judged after aggregation over the objects, as it is used, instead of before."""
        super().__init__()
        self.dice_weight, self.aggregate = dice_weight, aggregate

    def forward(self, steps: list[Step], clip: Clip, iteration: int) -> dict[str, Tensor]:
        """Weighted terms by name; their sum is the loss. Mean over the frames in which objects are sought."""
        terms: dict[str, list[Tensor]] = {}
        for t, step in enumerate(steps):
            pairs = step.prediction.aux.get("pairs")
            if pairs is None:
                continue
            clips, channels = pairs
            masks = clip.masks(t)[clips, channels]
            ignored = clip.label_map[clips, t] == IGNORED
            boxes = rasterised(tight_boxes(masks), (masks.shape[1], masks.shape[2]))[:, 0]
            outputs = {name: step.prediction.aux[name] for name in OUTPUTS if name in step.prediction.aux}
            if self.aggregate:
                outputs[list(outputs)[-1]] = _against_all_others(step.logits)[clips, channels]
            for name, logits in outputs.items():
                label = (boxes if name == "box" else masks).long().masked_fill(ignored, IGNORED)
                terms.setdefault(name, []).append(self._term(logits.float(), label))
        if not terms:  # no clip shows an object
            return {"mask": steps[-1].logits.new_zeros(())}
        return {name: torch.stack(of_frames).mean() for name, of_frames in terms.items()}

    def _term(self, logits: Float[Tensor, "M 2 H W"], label: Int[Tensor, "M H W"]) -> Float[Tensor, ""]:
        valid = label != IGNORED
        entropy = F.cross_entropy(logits, label, ignore_index=IGNORED, reduction="sum") / valid.sum().clamp(min=1)
        prob = logits.softmax(1)[:, 1] * valid
        truth = (label == 1).float()
        overlap, total = (prob * truth).sum((1, 2)), (prob + truth).sum((1, 2))
        return entropy + self.dice_weight * (1 - (2 * overlap + 1) / (total + 1)).mean()


def _against_all_others(logits: Float[Tensor, "B K H W"]) -> Float[Tensor, "B N 2 H W"]:
    """Two logits per object, everything else and itself."""
    total = logits.logsumexp(1, keepdim=True)
    own = logits[:, 1:]
    # log(sum of the others) = total + log(1 - p); p close to 1 would make it the logarithm of 0.
    others = total + torch.log1p(-(own - total).exp().clamp(max=1 - 1e-6))
    return torch.stack([others, own], 2)
