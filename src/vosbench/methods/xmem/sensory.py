"""The sensory memory: a map per object that gated updates carry from frame to frame (paper, section 3.4 and Figure 3)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.layers.conv_blocks import conv3x3


class GatedUpdate(nn.Module):
    """``h' = f h (1 - u) + u n`` with gates f, u and the candidate n from one convolution over input and h.

    Decision: as the public code has it; a textbook GRU lets the forget gate into the candidate instead.
    """

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.transform = conv3x3(channels + dim, 3 * dim)
        nn.init.xavier_normal_(self.transform.weight)

    def forward(self, x: Float[Tensor, "P C h w"], sensory: Float[Tensor, "P Ch h w"]) -> Float[Tensor, "P Ch h w"]:
        forget, update, candidate = self.transform(torch.cat([x, sensory], 1)).chunk(3, 1)
        update = update.sigmoid()
        return forget.sigmoid() * sensory * (1 - update) + update * candidate.tanh()


class DecoderUpdate(nn.Module):
    """An update from what the decoder has made of the frame: its maps at strides 16, 8 and 4 and the logits."""

    def __init__(self, dims: tuple[int, int, int], width: int, dim: int) -> None:
        super().__init__()
        d16, d8, d4 = dims
        self.at16, self.at8, self.at4 = nn.Conv2d(d16, width, 1), nn.Conv2d(d8, width, 1), nn.Conv2d(d4 + 1, width, 1)
        self.gates = GatedUpdate(width, dim)

    def forward(
        self,
        x16: Float[Tensor, "P D16 h w"],
        x8: Float[Tensor, "P D8 h8 w8"],
        x4: Float[Tensor, "P D4 h4 w4"],
        logits: Float[Tensor, "P 1 h4 w4"],
        sensory: Float[Tensor, "P Ch h w"],
    ) -> Float[Tensor, "P Ch h w"]:
        fine = torch.cat([F.avg_pool2d(x4, 4), F.avg_pool2d(logits, 4)], 1)
        return self.gates(self.at16(x16) + self.at8(F.avg_pool2d(x8, 2)) + self.at4(fine), sensory)
