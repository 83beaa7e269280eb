"""Pairwise affinity: whether a pixel and each of its eight neighbours belong to one instance (CAPA, section 2 and Fig. 3)."""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

Reduction = Literal["mean"] | None  # None: a map for each neighbour; "mean": one map, their mean

# (dy, dx) of neighbour k, in GGN's order: neighbour k + 4 lies opposite to neighbour k.
OFFSETS = ((-1, 0), (0, -1), (-1, -1), (1, -1), (1, 0), (0, 1), (1, 1), (-1, 1))
IGNORED = 255  # label of pixels that no loss looks at
_OUTSIDE = -1


def channels_of(reduction: Reduction) -> int:
    """Maps that are predicted."""
    return len(OFFSETS) if reduction is None else 1


def neighbours(label_map: Int[Tensor, "B H W"]) -> Int[Tensor, "B 8 H W"]:
    """The label of each of a pixel's neighbours, -1 outside the image."""
    height, width = label_map.shape[1:]
    padded = F.pad(label_map.short(), (1, 1, 1, 1), value=_OUTSIDE)  # eight copies: two bytes a label, not eight
    return torch.stack([padded[:, 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width] for dy, dx in OFFSETS], 1)


def pairs(label_map: Int[Tensor, "B H W"]) -> tuple[Bool[Tensor, "B 8 H W"], Bool[Tensor, "B 8 H W"], Bool[Tensor, "B 8 H W"]]:
    """Of every pixel and neighbour: whether they are of one label, whether the pair counts, and whether it can be known.

    It can be known where the neighbour lies inside the image and neither is ignored. It counts where, besides, one of the
    two is an object's: the background is not one instance, so two pixels of it say nothing.
    """
    own, other = label_map.short()[:, None], neighbours(label_map)
    known = (other != _OUTSIDE) & (other != IGNORED) & (own != IGNORED)
    return known & (own == other), known & ((own > 0) | (other > 0)), known


def affinity_target(
    label_map: Int[Tensor, "B H W"], reduction: Reduction = None
) -> tuple[Float[Tensor, "B k H W"], Float[Tensor, "B k H W"]]:
    """Target A and weight W, k = 8; or with `reduction="mean"` k = 1: A's mean over the neighbours, W's maximum.

    Decision: the mean is over the neighbours that can be known. GGN counts those outside the image as different, which
    would draw a contour along its border.
    """
    same, counts, known = pairs(label_map)
    if reduction is None:
        return same.float(), counts.float()
    mean = same.sum(1, keepdim=True) / known.sum(1, keepdim=True).clamp(min=1)
    return mean.float(), counts.any(1, keepdim=True).float()


def mean_affinity(prob: Float[Tensor, "B k H W"]) -> Float[Tensor, "B H W"]:
    """Of every pixel with its neighbours inside the image. For the others a network has never been told anything."""
    if prob.shape[1] == 1:
        return prob[:, 0]
    inside = neighbours(torch.zeros_like(prob[:, 0], dtype=torch.long)) != _OUTSIDE
    return (prob * inside).sum(1) / inside.sum(1)
