"""A residual block over joined maps, worked out in halves."""

import torch

from vosbench.layers.conv_blocks import ResBlock
from vosbench.layers.joined_inputs import common_halves, res_block_of_both


def test_halves_give_what_the_block_gives_for_the_joined_maps():
    # given two clips with two objects and one
    block, own, common = ResBlock(3 + 4, 5), torch.randn(3, 3, 6, 7), torch.randn(2, 4, 6, 7)
    clip = torch.tensor([0, 0, 1])
    # when
    found = res_block_of_both(block, own, common_halves(block, common), clip)
    # then
    torch.testing.assert_close(found, block(torch.cat([own, common[clip]], 1)), rtol=1e-4, atol=1e-5)
