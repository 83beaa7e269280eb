"""Dynamic kernels: the decoder's last convolution, written anew for each object and frame (paper, Eq. 2; specification 3.7)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.errors import ConfigError
from vosbench.layers.conv_blocks import conv3x3
from vosbench.layers.one_plane import conv_to_one_plane


@dataclass
class KernelOptions:
    """Which object features make the kernel; with neither, the last convolution is an ordinary one."""

    use_local: bool  # of the frame before
    use_global: bool  # mean over all past frames
    hidden: int  # width of the two hidden layers
    skip_empty: bool  # frames without the object do not count

    def __post_init__(self) -> None:
        if self.hidden < 1:
            raise ConfigError(f"method.kernels.hidden={self.hidden}: must be at least 1.")

    @property
    def enabled(self) -> bool:
        """Whether there is a kernel to make."""
        return self.use_local or self.use_global


class KernelGenerator(nn.Module):
    """Three fully connected layers from object features to the weights of a 3x3 convolution to one channel, its bias last.

    Decision: ReLU between them, and exactly the last convolution of STM's decoder is what they make. It begins as a static
    one plus a small dynamic part, from which all three layers learn at the first step.
    """

    def __init__(self, options: KernelOptions, channels: int, dim: int) -> None:
        super().__init__()
        inputs = channels * (options.use_local + options.use_global)
        self.use_local, self.use_global = options.use_local, options.use_global
        last, static = nn.Linear(options.hidden, 9 * dim + 1), conv3x3(dim, 1)
        self.fc = nn.ModuleList([nn.Linear(inputs, options.hidden), nn.Linear(options.hidden, options.hidden), last])
        assert static.bias is not None
        nn.init.normal_(last.weight, std=1e-4)
        with torch.no_grad():
            last.bias.copy_(torch.cat([static.weight.flatten(), static.bias]))

    def forward(self, overall: Float[Tensor, "P C"], latest: Float[Tensor, "P C"]) -> Float[Tensor, "P K"]:
        parts = [overall] * self.use_global + [latest] * self.use_local
        x = torch.cat(parts, 1)
        return self.fc[2](F.relu(self.fc[1](F.relu(self.fc[0](x)))))


def dynamic_conv(x: Float[Tensor, "P D h w"], kernel: Float[Tensor, "P K"]) -> Float[Tensor, "P 1 h w"]:
    """Each map convolved with its own 3x3 kernel, ``[c, dy, dx]`` row by row, then the bias; the size stays."""
    weight, bias = kernel[:, :-1].unflatten(1, (x.shape[1], 3, 3)), kernel[:, -1]
    return conv_to_one_plane(x, weight, bias)
