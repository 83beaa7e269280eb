"""3x3 convolutions by Winograd's minimal filtering: a third of the time of direct ones on a processor's wide, large maps.

NNPACK, which PyTorch carries, has them; PyTorch itself takes them for batches of 16 and more only, which is where NNPACK
falls back to slower algorithms. The sums are the same up to rounding (about 1e-4 of an output's size).
"""

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

# Below either the transforms cost more than the products save.
LEAST_CHANNELS, LEAST_PIXELS = 48, 1200


class Conv3x3(nn.Conv2d):
    """3x3 convolution with stride 1 that keeps the size."""

    def __init__(self, channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__(channels, out_channels, 3, padding=1, bias=bias)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C2 h w"]:
        return convolved(x, self.weight, self.bias)


def convolved(
    x: Float[Tensor, "B C h w"], weight: Float[Tensor, "C2 C 3 3"], bias: Float[Tensor, " C2"] | None
) -> Float[Tensor, "B C2 h w"]:
    """The convolution with stride 1 and a padding of 1, in the fastest way there is for these maps."""
    if not _pays(x, weight):
        return F.conv2d(x, weight, bias, padding=1)
    # One image at a time: only there NNPACK uses Winograd's algorithm.
    weight, parts = weight.contiguous(), x.contiguous().split(1)
    done = [torch._nnpack_spatial_convolution(part, weight, bias, [1, 1], [1, 1]) for part in parts]
    return done[0] if len(done) == 1 else torch.cat(done)


def use_winograd(network: nn.Module) -> None:
    """Let every convolution of that shape inside a network of others go through `convolved`."""
    for name, module in list(network.named_modules()):
        if type(module) is nn.Conv2d and _has_the_shape(module):
            faster = Conv3x3(module.in_channels, module.out_channels, bias=False)
            faster.weight, faster.bias = module.weight, module.bias
            network.set_submodule(name, faster)


def use_channels_last(network: nn.Module) -> None:
    """Let convolutions keep their weights with the channels as the fastest axis, but for those of `Conv3x3`, which NNPACK
    wants the other way round."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and not isinstance(module, Conv3x3):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _has_the_shape(conv: nn.Conv2d) -> bool:
    simple = conv.kernel_size == (3, 3) and conv.stride == (1, 1) and conv.groups == 1 and conv.padding_mode == "zeros"
    return simple and conv.padding == (1, 1) and conv.dilation == (1, 1)


def _pays(x: Tensor, weight: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and min(weight.shape[:2]) >= LEAST_CHANNELS
        and x.shape[2] * x.shape[3] >= LEAST_PIXELS
        and x.shape[0] > 0
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and _available()
    )


@cache
def _available() -> bool:
    # The question also makes NNPACK ready; without it, its first convolution fails.
    return torch.backends.nnpack.is_available()
