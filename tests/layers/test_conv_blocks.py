"""Blocks against their formulas; fed with numbers whose result is known."""

import torch
from torch import nn
from torch.nn import functional as F

from vosbench.layers.conv_blocks import CBAM, Fuse, LayerNorm2d, ResBlock


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_layer_norm_acts_on_the_channels_of_each_location():
    norm = LayerNorm2d(6, eps=1e-5)
    y = norm(torch.randn(2, 6, 3, 4) * 5 + 2)
    torch.testing.assert_close(y.mean(1), torch.zeros(2, 3, 4), rtol=0, atol=1e-5)
    torch.testing.assert_close(y.var(1, unbiased=False), torch.ones(2, 3, 4), rtol=0, atol=1e-4)


def test_a_residual_block_of_zero_weights_is_its_skip():
    block = ResBlock(4, 4)
    nn.init.zeros_(block.conv2.weight)
    nn.init.zeros_(block.conv2.bias)
    x = torch.randn(1, 4, 5, 5)
    torch.testing.assert_close(block(x), x)
    assert count(ResBlock(4, 4)) == 2 * (4 * 4 * 9 + 4)
    assert count(ResBlock(4, 6)) == 2 * (4 * 6 * 9 + 6) + 6 * 6 * 9 + 6


def test_cbam_of_zero_weights_halves_twice():
    cbam = CBAM(32)
    for parameter in cbam.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(1, 32, 4, 4)
    torch.testing.assert_close(cbam(x), x / 4)
    assert cbam.mlp[0].out_features == 4


def test_fusion_refines_the_attended_sum():
    fuse, x = Fuse(6, 4), torch.randn(1, 6, 3, 3)
    y = fuse.block1.conv2(F.relu(fuse.block1.conv1(F.relu(x)))) + fuse.block1.skip(x)
    z = y + fuse.attention(y)
    expected = fuse.block2.conv2(F.relu(fuse.block2.conv1(F.relu(z)))) + z
    torch.testing.assert_close(fuse(x), expected)
