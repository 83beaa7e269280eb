"""How good a predicted affinity is: over all pairs that count, and where objects touch, which is what CAPA is for."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from vosbench.methods.aot_capa.affinity import neighbours, pairs
from vosbench.methods.aot_capa.capa import CAPA
from vosbench.video.still import Still

NEAR = 2  # pixels to either side of a boundary between two objects
_BINS = 1 << 16  # of probabilities: the rank statistic needs counts, not the hundred million values themselves


@runtime_checkable
class Stills(Protocol):
    """Annotated images."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Still: ...


class PairCounts:
    """Counts over the images that were added; `summary` says what they amount to.

    A pair is a pixel and one of its eight neighbours, so each is met twice, from either side. Where one map is predicted
    (the mean over the neighbours), it stands for all eight.
    """

    def __init__(self) -> None:
        self.ranks = torch.zeros(2, _BINS, dtype=torch.float64)  # by truth (1: same instance) and probability
        self.crossing = torch.zeros(
            _BINS, dtype=torch.float64
        )  # the part of `ranks[0]` that joins two objects, not object and background
        self.sums = torch.zeros(2, dtype=torch.float64)  # of probabilities, by truth
        self.near = torch.zeros(2, 2, dtype=torch.float64)  # where objects touch: by truth and answer

    def add(self, logits: Float[Tensor, "B k H W"], label_map: Int[Tensor, "B H W"]) -> None:
        """Count the pairs of images with their true label maps; logits at their size."""
        same, counts, _ = pairs(label_map)
        prob = logits.float().sigmoid().expand_as(same)
        near = touching_pairs(label_map)
        for truth in (0, 1):
            chosen = prob[counts & (same == bool(truth))]
            self.ranks[truth] += _histogram(chosen)
            self.sums[truth] += chosen.double().sum().cpu()
            answers = prob[near & (same == bool(truth))] >= 0.5
            self.near[truth, 1] += int(answers.sum())
            self.near[truth, 0] += int((~answers).sum())
        self.crossing += _histogram(prob[near & ~same])

    def summary(self) -> dict[str, float]:
        """Areas under the curve and mean probabilities over all pairs; precision and recall of both answers (threshold 0.5)
        over the pairs where objects touch, and how many those are. Not a number where nothing was there to count.

        ``auc`` is the chance that a pair of one instance gets a higher probability than one of two, ``touching_auc`` the same
        of pairs that join two objects alone.
        """
        total = self.ranks.sum(1)
        (true_different, false_same), (false_different, true_same) = self.near
        found = {
            "auc": _area(self.ranks[1], self.ranks[0]),
            "touching_auc": _area(self.ranks[1], self.crossing),
            "prob_same": self.sums[1] / total[1],
            "prob_different": self.sums[0] / total[0],
            "touching_same_precision": true_same / (true_same + false_same),
            "touching_same_recall": true_same / (true_same + false_different),
            "touching_different_precision": true_different / (true_different + false_different),
            "touching_different_recall": true_different / (true_different + false_same),
            "touching_pairs": self.near.sum(),
        }
        return {name: float(value) for name, value in found.items()}


def _histogram(prob: Float[Tensor, " P"]) -> Float[Tensor, " bins"]:
    return torch.bincount((prob.double() * (_BINS - 1)).round().long(), minlength=_BINS).cpu().double()


def _area(higher: Float[Tensor, " bins"], lower: Float[Tensor, " bins"]) -> Float[Tensor, ""]:
    """Chance that a value of the first histogram exceeds one of the second, ties counted half."""
    below = lower.cumsum(0) - lower / 2
    return (higher * below).sum() / (higher.sum() * lower.sum())


def touching_pairs(label_map: Int[Tensor, "B H W"], near: int = NEAR) -> Bool[Tensor, "B 8 H W"]:
    """Pairs of two objects' pixels, one of which lies at most `near` pixels (in x and in y) from where two objects meet.

    A pixel next to another object's has distance 1. Pairs with the background are left out: to tell an object from it is
    easier, and no concern of CAPA's.
    """
    same, counts, _ = pairs(label_map)
    both = counts & (label_map > 0)[:, None] & (neighbours(label_map) > 0)
    meeting = (both & ~same).any(1)
    zone = F.max_pool2d(meeting.float(), 2 * near - 1, stride=1, padding=near - 1).bool()
    return both & (zone[:, None] | (neighbours(zone.long()) == 1))


@torch.no_grad()
def affinity_quality(capa: CAPA, stills: Stills) -> dict[str, float]:
    """`PairCounts.summary` of the branch over annotated images, in eval mode; its mode is put back."""
    mode, counts = capa.training, PairCounts()
    capa.eval()
    try:
        for index in range(len(stills)):
            still = stills[index]
            counts.add(capa.affinity(image_of(still, capa)), torch.from_numpy(still.label_map)[None].to(capa.mean.device).long())
    finally:
        capa.train(mode)
    return counts.summary()


def image_of(still: Still, capa: CAPA) -> Float[Tensor, "1 3 H W"]:
    """A batch of one, in [0, 1], where the branch computes."""
    return torch.from_numpy(still.image).to(capa.mean.device).permute(2, 0, 1)[None].float() / 255
