"""What STCN and XMem remember of each object in a stored frame (STCN, Figure 2; XMem, Figure 2)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vosbench.layers.fuser import Fuser
from vosbench.layers.joined_inputs import Halves
from vosbench.layers.trunk import Trunk, TrunkOptions


class ValueEncoder(nn.Module):
    """Image, own mask and the other objects' masks through a light trunk, fused with the frame's deepest map."""

    def __init__(self, trunk: TrunkOptions, deep_channels: int, dim: int, *, biases: bool) -> None:
        """`biases`: the trunk's convolutions have them, though batch norms follow, as in the public STCN."""
        super().__init__()
        self.trunk = Trunk(trunk, key="method.value_trunk.pretrained", indices=(3,), planes=2, biases=biases)
        self.fuser = Fuser(self.trunk.channels[-1], deep_channels, dim)

    def forward(
        self,
        image: Float[Tensor, "P 3 H W"],
        own: Float[Tensor, "P 1 H W"],
        others: Float[Tensor, "P 1 H W"],
        of_frame: Halves,
        clip: Int[Tensor, " P"],
    ) -> Float[Tensor, "P Cv h w"]:
        """Value of each object of a frame. `image` is normalised, masks are soft, `of_frame` is the fuser's and `clip` the one
        that an object is in."""
        return self.fuser(self.trunk(torch.cat([image, own, others], 1))[0], of_frame, clip)
