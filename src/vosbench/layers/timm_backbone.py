"""Networks from timm, with one clear sentence when their trained weights cannot be had."""

from collections.abc import Mapping
from typing import Any

import timm
import torch
from torch import nn

from vosbench.errors import ConfigError


def timm_network(name: str, *, pretrained: bool, key: str, **options: Any) -> nn.Module:
    """A timm network, at random or with its trained weights from timm's cache (or its hub, where there is a network).

    `key` is the configuration key that asked for trained weights; it is named when they cannot be had.
    """
    try:
        return timm.create_model(name, pretrained=pretrained, **options)
    # Whatever the hub's client raises without a network (OSError and its own kinds) is one and the same user's problem.
    except Exception as error:
        if not pretrained:
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"{key}: the trained weights of '{name}' are neither in timm's cache nor could they be downloaded ({reason}); "
            f"fetch them once where there is a network (HF_HOME is the cache), or set {key}=false or null for random weights."
        ) from error


def with_extra_inputs(network: nn.Module, extra: int, first: str = "conv1") -> nn.Module:
    """The same network with `extra` more input channels in its first convolution: the old channels' weights are kept, the new
    ones orthogonal (timm's own `in_chans` would spread the RGB weights over them)."""
    old = network.get_submodule(first)
    if not isinstance(old, nn.Conv2d):
        raise TypeError(f"{first} is {type(old).__name__}, not a convolution")
    options: Mapping[str, Any] = {
        "kernel_size": old.kernel_size,
        "stride": old.stride,
        "padding": old.padding,
        "bias": old.bias is not None,
        "device": old.weight.device,
        "dtype": old.weight.dtype,
    }
    new = nn.Conv2d(old.in_channels + extra, old.out_channels, **options)
    with torch.no_grad():
        if not old.weight.is_meta:  # orthogonal weights need numbers
            added = torch.empty_like(new.weight[:, :extra])
            nn.init.orthogonal_(added)
            new.weight.copy_(torch.cat([old.weight, added], 1))
        if old.bias is not None and new.bias is not None:
            new.bias.copy_(old.bias)
    network.set_submodule(first, new)
    return network
