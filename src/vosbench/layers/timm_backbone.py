"""Networks from timm. Trained weights are taken from timm's cache only, so that no run depends on a network."""

from typing import Any

import timm
import torch
from huggingface_hub import try_to_load_from_cache
from torch import nn

from vosbench.errors import ConfigError

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")


def timm_network(name: str, *, pretrained: bool, key: str, **options: Any) -> nn.Module:
    """A timm network, at random or with its trained weights, which must lie in the local cache.

    `key` is the configuration key that asks for trained weights; the error names it.
    """
    if not pretrained:
        return timm.create_model(name, pretrained=False, **options)
    # Read from the file itself: timm would ask its hub first, and without a network try again for a minute.
    return timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"file": _cached_weights(name, key)}, **options)


def _cached_weights(name: str, key: str) -> str:
    settings = timm.get_pretrained_cfg(name)
    repository = settings.hf_hub_id if settings is not None else None
    found = [try_to_load_from_cache(repository, file) for file in WEIGHT_FILES] if repository else []
    for path in found:
        if isinstance(path, str):
            return path
    raise ConfigError(
        f"{key}: the trained weights of '{name}' are not in timm's cache; fetch them once where there is a network with "
        f"python -c \"import timm; timm.create_model('{name}', pretrained=True)\" (HF_HOME is the cache's place), "
        f"or set {key}=null for random weights."
    )


def with_extra_inputs(network: nn.Module, extra: int) -> nn.Module:
    """The same network with `extra` more input channels in its first convolution: the old channels' weights are kept, the new
    ones orthogonal (timm's own `in_chans` would spread the RGB weights over them)."""
    first, old = next((name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d))
    new = nn.Conv2d(
        old.in_channels + extra,
        old.out_channels,
        (old.kernel_size[0], old.kernel_size[1]),
        stride=(old.stride[0], old.stride[1]),
        padding=old.padding,  # type: ignore[arg-type]  # numbers here, though it may be a name
        bias=old.bias is not None,
        device=old.weight.device,
        dtype=old.weight.dtype,
    )
    with torch.no_grad():
        new.weight[:, : old.in_channels] = old.weight
        if old.bias is not None and new.bias is not None:
            new.bias.copy_(old.bias)
        if not old.weight.is_meta:  # orthogonal weights are made of numbers, and there a meta tensor has none
            nn.init.orthogonal_(new.weight[:, old.in_channels :])
    network.set_submodule(first, new)
    return network
