"""From a frame's own size to the network's input and back: resize, pad to the stride, crop, resize."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

# Padding is the mean colour, which every network's normalisation turns into zero.
MEAN_COLOUR = (0.485, 0.456, 0.406)


@dataclass(frozen=True)
class Sizing:
    """One frame size and how it enters the network. Padding is split, the odd pixel at the bottom and right."""

    frame: tuple[int, int]  # (H, W) of the frames
    inner: tuple[int, int]  # after resizing
    padded: tuple[int, int]  # after padding, a multiple of the stride

    @staticmethod
    def of(height: int, width: int, stride: int, long_edge: int | None = None, short_edge: int | None = None) -> "Sizing":
        """`long_edge`: never work at a longer edge than this (pixels). `short_edge`: work at exactly this short edge."""
        scale = 1.0
        if short_edge is not None:
            scale = short_edge / min(height, width)
        if long_edge is not None:
            scale = min(scale, long_edge / max(height, width))
        inner = (max(1, round(height * scale)), max(1, round(width * scale)))
        padded = (-(-inner[0] // stride) * stride, -(-inner[1] // stride) * stride)
        return Sizing((height, width), inner, padded)

    @property
    def _margins(self) -> tuple[int, int, int, int]:
        """Left, right, top, bottom, as `F.pad` wants them."""
        extra_h, extra_w = self.padded[0] - self.inner[0], self.padded[1] - self.inner[1]
        return extra_w // 2, extra_w - extra_w // 2, extra_h // 2, extra_h - extra_h // 2

    def image(self, image: UInt8[Tensor, "H W 3"] | Float[Tensor, "H W 3"]) -> Float[Tensor, "1 3 h w"]:
        """Network input in [0, 1]."""
        planes = image.permute(2, 0, 1)[None]
        planes = planes.float() / 255 if image.dtype == torch.uint8 else planes.float()
        if self.inner != self.frame:
            planes = F.interpolate(planes, size=self.inner, mode="bilinear", align_corners=False)
        if self.padded == self.inner:
            return planes
        mean = planes.new_tensor(MEAN_COLOUR)[None, :, None, None]
        return F.pad(planes - mean, self._margins) + mean

    def planes(self, planes: Float[Tensor, "N H W"]) -> Float[Tensor, "N h w"]:
        """Binary planes of the frame at the network's input size, nearest; an object too small for the nearest grid keeps a pixel."""
        small = planes
        if self.inner != self.frame:
            small = F.interpolate(planes[None], size=self.inner, mode="nearest-exact")[0]
            lost = (planes.flatten(1).amax(1) > 0) & (small.flatten(1).amax(1) == 0)
            if bool(lost.any()):
                kept = F.adaptive_max_pool2d(planes[lost][None], self.inner)[0]
                small[lost] = (kept == kept.flatten(1).amax(1)[:, None, None]).float()
        return F.pad(small, self._margins)

    def restore(self, prob: Float[Tensor, "K h w"]) -> Float[Tensor, "K H W"]:
        """Probabilities at the frame's own size: the padding is cut off, then bilinear."""
        left, _, top, _ = self._margins
        prob = prob[:, top : top + self.inner[0], left : left + self.inner[1]]
        if self.inner != self.frame:
            prob = F.interpolate(prob[None], size=self.frame, mode="bilinear", align_corners=False)[0]
        return prob
