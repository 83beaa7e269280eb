"""What XMem remembers of each object in a stored frame (paper, section 3.5; value encoder and deep update)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vosbench.layers.fuser import Fuser
from vosbench.layers.joined_inputs import Halves
from vosbench.layers.trunk import Trunk, TrunkOptions
from vosbench.methods.xmem.sensory import GatedUpdate


class ValueEncoder(nn.Module):
    """Image, own mask and the other objects' masks through a light trunk, fused with the frame's deepest map.

    `reinforce` is the deep update: the sensory memory is renewed from the value, which has seen the mask.
    """

    def __init__(self, trunk: TrunkOptions, deep_channels: int, dim: int, sensory_dim: int) -> None:
        super().__init__()
        self.trunk = Trunk(trunk, key="method.value_trunk.pretrained", indices=(3,), planes=2)
        self.fuser = Fuser(self.trunk.channels[-1], deep_channels, dim)
        self.reinforce = GatedUpdate(dim, sensory_dim)

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
