"""Residual blocks over an object's own map joined with one that all objects of its clip have: the common half is done once.

A convolution is linear, so ``conv(cat[own, common]) = conv_own(own) + conv_common(common)``, with the weight cut in two.
"""

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from vosbench.layers.conv_blocks import ResBlock
from vosbench.layers.winograd import Conv3x3, convolved

Halves = tuple[Float[Tensor, "B C3 h w"], Float[Tensor, "B C3 h w"]]  # of the first convolution and of the skip


def common_halves(block: ResBlock, common: Float[Tensor, "B C2 h w"]) -> Halves:
    """What the last channels of a block's input add inside it; biases with them, so that they are added once."""
    assert isinstance(block.skip, Conv3x3)
    return _half(block.conv1, F.relu(common)), _half(block.skip, common)


def res_block_of_both(
    block: ResBlock, own: Float[Tensor, "P C h w"], common: Halves, clip: Int[Tensor, " P"]
) -> Float[Tensor, "P C3 h w"]:
    """``block(cat[own, c[clip]])`` for the map c that `common` was made of; `clip` is the one that an object is in."""
    assert isinstance(block.skip, Conv3x3)
    channels = own.shape[1]
    inner = convolved(F.relu(own), block.conv1.weight[:, :channels], None) + of_clip(common[0], clip)
    skip = convolved(own, block.skip.weight[:, :channels], None) + of_clip(common[1], clip)
    return block.conv2(F.relu(inner)) + skip


def of_clip(common: Float[Tensor, "B C h w"], clip: Int[Tensor, " P"]) -> Float[Tensor, "_ C h w"]:
    """The common map of each object's clip, to be added to the object's own; of one clip alone without a copy."""
    return common if common.shape[0] == 1 else common[clip]


def _half(conv: Conv3x3, common: Float[Tensor, "B C2 h w"]) -> Float[Tensor, "B C3 h w"]:
    return convolved(common, conv.weight[:, -common.shape[1] :], conv.bias)
