"""Cascaded refinement, CRM: the aggregated feature meets coordinates, box map and mask, and is decoded once more
(paper, section on the CRM; specification 3.8)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.methods.qmra.decoder import Decoder


class CascadedRefinement(nn.Module):
    """Three 1x1 merges in a row, then a decoder.

    Decision: ReLU after the first two merges, or the three would fold into one; none after the last, so that the decoder sees
    what it sees in stage 2. Maps are pooled to the feature's stride with their gradient.
    """

    def __init__(self, channels: int, dec: Decoder, *, coord: bool, source: str) -> None:
        """`coord` False: ablation "CRM w/o CL". `source`: a2, or a1a2 to start from the features of both stages."""
        super().__init__()
        self.merge_source = nn.Conv2d(2 * channels, channels, 1) if source == "a1a2" else None
        self.merge_coord = nn.Conv2d(channels + 2, channels, 1) if coord else None
        self.merge_box = nn.Conv2d(channels + 1, channels, 1)
        self.merge_mask = nn.Conv2d(channels + 1, channels, 1)
        self.dec = dec

    def forward(
        self,
        first: Float[Tensor, "M Ca h w"] | None,
        second: Float[Tensor, "M Ca h w"],
        box_map: Float[Tensor, "M 1 H W"],
        mask: Float[Tensor, "M 1 H W"],
        sides: tuple[Tensor, Tensor],
    ) -> Float[Tensor, "M 2 H W"]:
        """Logits of the final mask from the features of stages 1 (used by a1a2 alone) and 2, the map that stage 2 was fed and
        the probability of its mask, before any aggregation over objects."""
        x = second
        if self.merge_source is not None:
            assert first is not None
            x = F.relu(self.merge_source(torch.cat([first, second], 1)))
        if self.merge_coord is not None:
            coordinates = coordinate_maps(x.shape[2], x.shape[3], x.device).expand(x.shape[0], -1, -1, -1)
            x = F.relu(self.merge_coord(torch.cat([x, coordinates], 1)))
        stride = box_map.shape[3] // x.shape[3]
        x = F.relu(self.merge_box(torch.cat([x, F.avg_pool2d(box_map, stride)], 1)))
        x = self.merge_mask(torch.cat([x, F.avg_pool2d(mask, stride)], 1))
        return self.dec(x, *sides)


def coordinate_maps(height: int, width: int, device: torch.device | None = None) -> Float[Tensor, "2 h w"]:
    """Row and column of every cell, from -1 to 1; 0 along an extent of one. Source: CoordConv."""

    def axis(length: int) -> Tensor:
        return torch.linspace(-1, 1, length, device=device) if length > 1 else torch.zeros(1, device=device)

    return torch.stack(torch.meshgrid(axis(height), axis(width), indexing="ij"))
