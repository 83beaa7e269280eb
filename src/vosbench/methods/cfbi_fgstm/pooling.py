"""Sums over the pixels of each label, from which instance vectors and energies are made (specification 3.9)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-5  # added to a number of pixels


def slots_of(label_map: Int[Tensor, "B h w"], count: int) -> Int[Tensor, "B L"]:
    """1 + the entry that each pixel belongs to; 0 for those of nobody, whose label is no entry, such as 255."""
    slot = label_map.flatten(1) + 1
    return torch.where(slot > count, 0, slot)


def label_sums(
    maps: Float[Tensor, "B C h w"], label_map: Int[Tensor, "B h w"], count: int
) -> tuple[Float[Tensor, "B slots C"], Float[Tensor, "B slots"]]:
    """Sums of the map and numbers of pixels for `count` + 1 slots: the pixels of nobody, then the entries 0, 1, ..."""
    masks = F.one_hot(slots_of(label_map, count), count + 1).float()
    with torch.autocast(maps.device.type, enabled=False):
        sums = torch.bmm(masks.transpose(1, 2), maps.float().permute(0, 2, 3, 1).flatten(1, 2))
    return sums, masks.sum(1)


def of_others(sums: Float[Tensor, "B slots *rest"]) -> Float[Tensor, "B K *rest"]:
    """For every entry, the sum over all slots but its own. Added up, not subtracted from the total: exactly zero where there
    is nothing else."""
    slots = sums.shape[1]
    others = 1 - torch.eye(slots, device=sums.device)[1:]
    return (others @ sums.flatten(2)).unflatten(2, sums.shape[2:]) if sums.dim() > 2 else sums @ others.T


def mean_inside_and_outside(sums: Float[Tensor, "B slots C"], numbers: Float[Tensor, "B slots"]) -> Float[Tensor, "B K C2"]:
    """Mean vector over the pixels of every entry and over all others, side by side; no pixels: zeros."""
    inside = sums[:, 1:] / (numbers[:, 1:, None] + EPSILON)
    outside = of_others(sums) / (of_others(numbers)[:, :, None] + EPSILON)
    return torch.cat([inside, outside], 2)
