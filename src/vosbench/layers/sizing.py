"""From a frame's own size to the network's input and back. A method chooses the rule; padding is the default."""

import abc
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

# Padding is the mean colour, which every network's normalisation turns into zero.
MEAN_COLOUR = (0.485, 0.456, 0.406)


@dataclass(frozen=True)
class Sizing(abc.ABC):
    """One frame size and how it enters the network."""

    frame: tuple[int, int]  # (H, W) of the frames
    network: tuple[int, int]  # (H, W) of the network's input
    masks: tuple[int, int]  # (H, W) at which masks are merged and remembered

    @property
    def window(self) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1): the part of the network's input that the frame fills."""
        return 0, 0, self.network[1], self.network[0]

    def boxes(self, boxes: Float[Tensor, "N 4"]) -> Float[Tensor, "N 4"]:
        """Boxes (x0, y0, x1, y1) of the frame in pixels of the network's input."""
        scale, shift = self._box_map(boxes)
        return boxes * scale + shift

    def restore_boxes(self, boxes: Float[Tensor, "N 4"]) -> Float[Tensor, "N 4"]:
        """Boxes of the network's input in pixels of the frame."""
        scale, shift = self._box_map(boxes)
        return (boxes - shift) / scale

    def _box_map(self, boxes: Float[Tensor, "N 4"]) -> tuple[Float[Tensor, " 4"], Float[Tensor, " 4"]]:
        x0, y0, x1, y1 = self.window
        scale = boxes.new_tensor([(x1 - x0) / self.frame[1], (y1 - y0) / self.frame[0]])
        return scale.repeat(2), boxes.new_tensor([x0, y0]).repeat(2)

    @abc.abstractmethod
    def image(self, image: UInt8[Tensor, "H W 3"] | Float[Tensor, "H W 3"]) -> Float[Tensor, "1 3 h w"]:
        """Network input, [0, 1] up to the overshoot of a bicubic resize."""

    @abc.abstractmethod
    def planes(self, planes: Float[Tensor, "N H W"]) -> Float[Tensor, "N h w"]:
        """Binary planes of the frame at the size of the masks."""

    @abc.abstractmethod
    def restore(self, prob: Float[Tensor, "K h w"]) -> Float[Tensor, "K H W"]:
        """Probabilities from the size of the masks to the frame's own."""


@dataclass(frozen=True)
class PaddedSizing(Sizing):
    """Resize, pad to the stride; crop, resize. Masks live in the padded network input. The padding is split, the odd pixel
    at the bottom and right. Source: STM, STCN."""

    inner: tuple[int, int]  # after resizing, before padding

    @staticmethod
    def of(height: int, width: int, stride: int, long_edge: int | None = None, short_edge: int | None = None) -> "PaddedSizing":
        """`long_edge`: never work at a longer edge than this (pixels). `short_edge`: work at exactly this short edge."""
        inner = scaled(height, width, long_edge, short_edge)
        padded = (-(-inner[0] // stride) * stride, -(-inner[1] // stride) * stride)
        return PaddedSizing((height, width), padded, padded, inner)

    @property
    def _margins(self) -> tuple[int, int, int, int]:
        """Left, right, top, bottom, as `F.pad` wants them."""
        extra_h, extra_w = self.network[0] - self.inner[0], self.network[1] - self.inner[1]
        return extra_w // 2, extra_w - extra_w // 2, extra_h // 2, extra_h - extra_h // 2

    @property
    def window(self) -> tuple[int, int, int, int]:
        """Inside the padding."""
        left, _, top, _ = self._margins
        return left, top, left + self.inner[1], top + self.inner[0]

    def image(self, image: UInt8[Tensor, "H W 3"] | Float[Tensor, "H W 3"]) -> Float[Tensor, "1 3 h w"]:
        """Bilinear; the padding has the mean colour."""
        planes = in_unit_range(image)
        if self.inner != self.frame:
            planes = F.interpolate(planes, size=self.inner, mode="bilinear", align_corners=False)
        if self.network == self.inner:
            return planes
        mean = planes.new_tensor(MEAN_COLOUR)[None, :, None, None]
        return F.pad(planes - mean, self._margins) + mean

    def planes(self, planes: Float[Tensor, "N H W"]) -> Float[Tensor, "N h w"]:
        """Nearest; an object too small for the nearest grid keeps a pixel."""
        small = planes
        if self.inner != self.frame:
            small = F.interpolate(planes[None], size=self.inner, mode="nearest-exact")[0]
            lost = (planes.flatten(1).amax(1) > 0) & (small.flatten(1).amax(1) == 0)
            if bool(lost.any()):
                kept = F.adaptive_max_pool2d(planes[lost][None], self.inner)[0]
                small[lost] = (kept == kept.flatten(1).amax(1)[:, None, None]).float()
        return F.pad(small, self._margins)

    def restore(self, prob: Float[Tensor, "K h w"]) -> Float[Tensor, "K H W"]:
        """The padding is cut off, then bilinear."""
        left, _, top, _ = self._margins
        prob = prob[:, top : top + self.inner[0], left : left + self.inner[1]]
        if self.inner != self.frame:
            prob = F.interpolate(prob[None], size=self.frame, mode="bilinear", align_corners=False)[0]
        return prob


@dataclass(frozen=True)
class FullSizing(Sizing):
    """Resize to a legal size without padding; logits return to the frame's own size, where masks are made and remembered.

    A side v becomes ``k round((v - odd) / k) + odd`` with k the stride, rounded half to even; `odd` is 1 for networks whose
    maps share their corners (align_corners), else 0. Source: the public code of AOT and of CFBI.
    """

    @staticmethod
    def of(
        height: int, width: int, stride: int, odd: int, long_edge: int | None = None, short_edge: int | None = None
    ) -> "FullSizing":
        """`long_edge`: never work at a longer edge than this (pixels). `short_edge`: work at about this short edge."""
        inner = scaled(height, width, long_edge, short_edge)
        legal = [max(1, round((side - odd) / stride)) * stride + odd for side in inner]
        return FullSizing((height, width), (legal[0], legal[1]), (height, width))

    def image(self, image: UInt8[Tensor, "H W 3"] | Float[Tensor, "H W 3"]) -> Float[Tensor, "1 3 h w"]:
        """Bicubic without antialiasing, as the public code's OpenCV does it."""
        planes = in_unit_range(image)
        return planes if self.network == self.frame else F.interpolate(planes, size=self.network, mode="bicubic")

    def planes(self, planes: Float[Tensor, "N H W"]) -> Float[Tensor, "N h w"]:
        """As they are."""
        return planes

    def restore(self, prob: Float[Tensor, "K h w"]) -> Float[Tensor, "K H W"]:
        """As they are."""
        return prob


def scaled(height: int, width: int, long_edge: int | None, short_edge: int | None) -> tuple[int, int]:
    """(H, W) with exactly this short edge, and no longer edge than that; None leaves it as it is."""
    scale = 1.0
    if short_edge is not None:
        scale = short_edge / min(height, width)
    if long_edge is not None:
        scale = min(scale, long_edge / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def in_unit_range(image: UInt8[Tensor, "H W 3"] | Float[Tensor, "H W 3"]) -> Float[Tensor, "1 3 H W"]:
    """Channels first, in [0, 1]."""
    planes = image.permute(2, 0, 1)[None]
    return planes.float() / 255 if image.dtype == torch.uint8 else planes.float()
