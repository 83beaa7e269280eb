"""The ensemble network: a light network that fuses the probabilities of several models (paper, Figure 3; specification 3.14).

The paper gives a picture and the word "light"; everything here is a decision of the specification.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

SMALLEST = 1e-7  # probabilities below it count as this much, so that their logarithm is finite


class FusionNet(nn.Module):
    """Per entry, from what M models say of it: ``z = sum_k softmax_k(o)_k log p_k + delta``; softmax of z over the entries.

    The same for all entries, so their order does not matter. At first the weights o and the correction delta are zero: the
    normalised geometric mean of the members.
    """

    def __init__(self, members: int, width: int) -> None:
        """`members`: models M. `width`: channels inside, a multiple of 8."""
        super().__init__()
        if members < 1:
            raise ValueError(f"ensemble.members must name at least one model, got {members}")
        if width < 8 or width % 8:
            raise ValueError(f"ensemble.width must be a multiple of 8, the groups of its GroupNorm, got {width}")
        self.members = members
        self.layers = nn.Sequential(*_layer(3 * members + 4, width, 1), *_layer(width, width, 2), *_layer(width, width, 1))
        self.out = nn.Conv2d(width, members + 1, 1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(
        self, prob: Float[Tensor, "B M K h w"], previous: Float[Tensor, "B K h w"], image: Float[Tensor, "B 3 h w"]
    ) -> Float[Tensor, "B K h w"]:
        """Logits z on the grid of stride 4, all inputs on that grid: the members' probabilities, the fused mask of the frame
        before, and the frame, RGB in [0, 1]."""
        batch, members, entries, height, width = prob.shape
        if members != self.members:
            raise ValueError(f"prob must hold the {self.members} members of this network along its second axis, got {members}")
        log_prob = prob.float().clamp(min=SMALLEST).log()
        shared = image[:, None].expand(-1, entries, -1, -1, -1)
        maps = [
            log_prob.transpose(1, 2) / 4,
            prob.transpose(1, 2),
            _largest_other(prob).transpose(1, 2),
            previous[:, :, None],
            shared,
        ]
        out = self.out(self.layers(torch.cat(maps, 2).flatten(0, 1))).float()
        weights, correction = out[:, :members].softmax(1), out[:, members]
        fused = (weights * log_prob.transpose(1, 2).flatten(0, 1)).sum(1) + correction
        return fused.view(batch, entries, height, width)


def fusion_loss(logits: Float[Tensor, "B K h w"], label_map: Int[Tensor, "B H W"]) -> Float[Tensor, ""]:
    """Plain cross-entropy of the logits, brought to the label map's size; 255 counts nowhere. Specification 6.5, S3."""
    full = F.interpolate(logits.float(), size=label_map.shape[-2:], mode="bilinear", align_corners=True)
    return F.cross_entropy(full, label_map, ignore_index=255)


def _layer(channels: int, out_channels: int, dilation: int) -> list[nn.Module]:
    conv = nn.Conv2d(channels, out_channels, 3, padding=dilation, dilation=dilation, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return [conv, nn.GroupNorm(8, out_channels), nn.ReLU()]


def _largest_other(prob: Float[Tensor, "B M K h w"]) -> Float[Tensor, "B M K h w"]:
    """For every entry the largest probability of any other; 0 where there is none."""
    if prob.shape[2] == 1:
        return torch.zeros_like(prob)
    best, place = prob.topk(2, dim=2)
    entries = torch.arange(prob.shape[2], device=prob.device)[:, None, None]
    return torch.where(entries == place[:, :, :1], best[:, :, 1:], best[:, :, :1])
