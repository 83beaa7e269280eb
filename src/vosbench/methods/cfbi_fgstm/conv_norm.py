"""Norm and convolution: how many groups the method's GroupNorm has, convolutions without a norm, and the last ones of
residuals that add nothing at first."""

from torch import nn


def norm_groups(channels: int) -> int:
    """Groups of a GroupNorm: the largest divisor of the channels that is at most 32 and leaves two channels to a group.

    32 for 64 to 512 channels and 25 for 100, as the public code has it; never one channel alone, so that a map of one pixel
    still has something to normalise.
    """
    return next(groups for groups in range(min(32, channels // 2), 0, -1) if channels % groups == 0)


def conv(kernel: int, channels: int, out_channels: int) -> nn.Conv2d:
    """Keeps the size; Kaiming normal for what leaves it, bias zero."""
    plain = nn.Conv2d(channels, out_channels, kernel, padding=kernel // 2)
    nn.init.kaiming_normal_(plain.weight, mode="fan_out", nonlinearity="relu")
    assert plain.bias is not None
    nn.init.zeros_(plain.bias)
    return plain


def zero_conv(kernel: int, channels: int, out_channels: int) -> nn.Conv2d:
    """Keeps the size; all of it zero."""
    plain = conv(kernel, channels, out_channels)
    nn.init.zeros_(plain.weight)
    return plain
