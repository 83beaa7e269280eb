"""What CAPA is trained on: binary cross-entropy of the affinity over the pairs that count (specification 6.3)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.methods.aot_capa.affinity import Reduction, affinity_target, channels_of
from vosbench.video.clip import Clip


class AffinityLoss(nn.Module):
    """Per image ``sum W BCE / (sum W + 1e-5)``, then the mean over images.

    `positive_weight` multiplies the loss of pairs of one instance. They are nine in ten, and with weight 1 the answer is
    "same" nearly everywhere; GGN takes 0.05.
    """

    def __init__(self, positive_weight: float) -> None:
        super().__init__()
        if positive_weight <= 0:
            raise ValueError(f"positive_weight={positive_weight}: must be above 0, or nothing would ask for one instance")
        self.positive_weight = positive_weight

    def forward(self, outputs: Float[Tensor, "B k H W"], clip: Clip, iteration: int) -> dict[str, Tensor]:
        """`outputs` are logits at the clip's size, of its first frame; their number k says whether they are a mean."""
        reduction: Reduction = None if outputs.shape[1] == channels_of(None) else "mean"
        target, weight = affinity_target(clip.label_map[:, 0], reduction)
        with torch.autocast(outputs.device.type, enabled=False):
            positive = outputs.new_tensor(self.positive_weight, dtype=torch.float32)
            loss = F.binary_cross_entropy_with_logits(outputs.float(), target, reduction="none", pos_weight=positive)
            per_image = (weight * loss).sum((1, 2, 3)) / (weight.sum((1, 2, 3)) + 1e-5)
        return {"affinity": per_image.mean()}
