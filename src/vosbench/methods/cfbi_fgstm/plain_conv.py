"""Convolutions without a norm, and the last ones of residuals, which add nothing at first."""

from torch import nn


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
