"""Object features: one vector per object and past frame, and what is kept of them (paper, Eq. 1; specification 3.6)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

SMALLEST = 1e-7  # an object of no size has the zero vector


def object_feature(feature: Float[Tensor, "P C h w"], mask: Float[Tensor, "P H W"]) -> Float[Tensor, "P C"]:
    """Mean of the memory encoder's map, weighted by the soft mask at the map's size. In float32.

    Decision: of the encoder's output, before the heads; the gradient flows through mask and map.
    """
    with torch.autocast(feature.device.type, enabled=False):
        stride = mask.shape[1] // feature.shape[2]
        weight = F.avg_pool2d(mask.float()[:, None], stride)
        return (weight * feature.float()).sum((2, 3)) / (weight.sum((2, 3)) + SMALLEST)


def is_seen(mask: Float[Tensor, "P H W"]) -> Bool[Tensor, " P"]:
    """Whether some pixel is the object's rather than not.

    Decision: other frames do not count, or the global feature would fade during an occlusion and the local one become the
    mean of the background.
    """
    return mask.flatten(1).amax(1) >= 0.5


def running_mean(
    mean: Float[Tensor, "B N C"], count: Float[Tensor, "B N"], new: Float[Tensor, "B N C"], counts: Bool[Tensor, "B N"]
) -> tuple[Float[Tensor, "B N C"], Float[Tensor, "B N"]]:
    """Mean over all vectors so far with one more, where it counts: constant in size however long the video."""
    count = count + counts
    step = (counts / count.clamp(min=1))[:, :, None]
    return mean + step * (new - mean), count
