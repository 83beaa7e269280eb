"""Convolutions over an object's own map joined with one that all objects of its clip have: the common half is done once.

A convolution is linear, so ``conv(cat[own, common]) = conv_own(own) + conv_common(common)``, with the weight cut in two.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vosbench.layers.conv_blocks import ResBlock
from vosbench.layers.winograd import Conv3x3, convolved


def conv_of_both(
    conv: Conv3x3, own: Float[Tensor, "P C h w"], common: Float[Tensor, "B C2 h w"], clip: Int[Tensor, " P"]
) -> Float[Tensor, "P C3 h w"]:
    """``conv(cat[own, common[clip]])``; `clip` is the one that an object is in."""
    of_own, of_common = conv.weight[:, : own.shape[1]], conv.weight[:, own.shape[1] :]
    # The bias goes to the common half, so that it is added once.
    return convolved(own, of_own, None) + convolved(common, of_common, conv.bias)[clip]


def res_block_of_both(
    block: ResBlock, own: Float[Tensor, "P C h w"], common: Float[Tensor, "B C2 h w"], clip: Int[Tensor, " P"]
) -> Float[Tensor, "P C3 h w"]:
    """``block(cat[own, common[clip]])`` for a block whose width changes."""
    assert isinstance(block.skip, Conv3x3)
    inner = conv_of_both(block.conv1, torch.relu(own), torch.relu(common), clip)
    return block.conv2(torch.relu(inner)) + conv_of_both(block.skip, own, common, clip)
