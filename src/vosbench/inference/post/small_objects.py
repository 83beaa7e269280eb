"""Rule 2: small objects are predicted again in a crop of the frame (paper, section 2.4; specification 8.4)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from vosbench.inference.post.far_components import distance_to
from vosbench.inference.post.windows import Area, Window
from vosbench.layers.sizing import Sizing
from vosbench.methods.method import Method, Prompted


@dataclass(frozen=True)
class SmallObjects:
    """What is small, how it is cropped, and when the second answer counts. Decision: all numbers."""

    area: float  # share of the frame's pixels up to which an object is small
    most: int  # objects of one frame that are predicted again, the smallest ids first
    window: float  # side of the window over the longer side of the object's box
    least: float  # smallest side, as a share of the frame's shorter side
    crop: int  # pixels to which the side of a window is resized
    ratio: float  # the new area is at most this many times the old one, and at least its inverse
    reach: float  # the new mask lies at most this many sides away from the old one

    def __post_init__(self) -> None:
        for name in ("area", "window", "least", "reach"):
            if getattr(self, name) < 0:
                raise ValueError(f"post.small.{name} must be at least 0, got {getattr(self, name)}")
        for name in ("most", "crop", "ratio"):
            if getattr(self, name) < 1:
                raise ValueError(f"post.small.{name} must be at least 1, got {getattr(self, name)}")

    def around(self, mask: Bool[np.ndarray, "H W"], area: Area) -> Window:
        """The window of a mask that is not empty."""
        return Window.around(mask, area, self.window, self.least)

    def chosen(self, label_map: UInt8[np.ndarray, "H W"], ids: list[int], given: set[int], area: Area) -> list[int]:
        """Channels of the objects to predict again: small, not given on this frame, by ascending id."""
        pixels = np.bincount(label_map.ravel(), minlength=len(ids) + 1)[1:]
        most = self.area * area.height * area.width
        small = [channel for channel in range(len(ids)) if 0 < pixels[channel] <= most and channel not in given]
        return sorted(small, key=lambda channel: ids[channel])[: self.most]

    def accepts(self, new: Bool[np.ndarray, "H W"], old: Bool[np.ndarray, "H W"], side: int) -> bool:
        """Whether the new mask is near the old one and of about its area."""
        if not new.any() or not 1 / self.ratio <= new.sum() / old.sum() <= self.ratio:
            return False
        return float(distance_to(old)[new].min()) <= self.reach * side  # 0 where they overlap


@dataclass
class Reference:
    """An object in the frame in which its first mask was given, cropped."""

    image: Float[Tensor, "crop crop 3"]
    planes: Float[Tensor, "N crop crop"]
    channels: list[int]  # of the objects that are seen in the crop; the planes' order
    memory: Any = None  # the method's, after this crop; made when it is needed first


class CropPass:
    """The second prediction of one video's small objects, by the same four functions of the method as the first."""

    def __init__(self, rule: SmallObjects, method: Method, area: Area) -> None:
        self.rule, self._method, self._area = rule, method, area
        self._sizing: Sizing = method.sizing(rule.crop, rule.crop, None, None)
        self._references: dict[int, Reference] = {}

    def refer(self, channel: int, image: Tensor, label_map: UInt8[np.ndarray, "H W"]) -> None:
        """Remember the frame in which the object's mask is given; its first one counts."""
        mask = label_map == channel + 1
        if channel in self._references or not mask.any():
            return
        window = self.rule.around(mask, self._area)
        labels = [int(label) for label in np.unique(label_map[window.place]) if label]
        planes = window.of_label_map(label_map, labels, self.rule.crop)
        seen = [number for number, plane in enumerate(planes) if plane.any()]  # one pixel may be lost where the crop is smaller
        channels = [labels[number] - 1 for number in seen]
        if channel in channels:
            crop = window.of_image(image, self._area, self.rule.crop)
            self._references[channel] = Reference(crop, planes[seen], channels)

    def known(self, channel: int) -> bool:
        """Whether the object was given by a mask."""
        return channel in self._references

    def probability(
        self,
        channel: int,
        window: Window,
        images: tuple[Tensor, Tensor],
        previous: UInt8[np.ndarray, "H W"],
    ) -> Float[Tensor, "side side"]:
        """Of the object in a window of the present frame. `images`: the frame before and the present one; `previous`: the
        final label map of the frame before."""
        reference, method, sizing = self._references[channel], self._method, self._sizing
        if reference.memory is None:
            reference.memory = self._begun(reference)
        crops = [sizing.image(window.of_image(image, self._area, self.rule.crop).to(method.device)) for image in images]
        features = method.encode(torch.cat(crops))
        planes = window.of_label_map(previous, [other + 1 for other in reference.channels], self.rule.crop).to(method.device)
        truth = sizing.planes(planes)[None]
        memory = method.step(features.rows(0, 1), reference.memory, 1, size=sizing.masks, truth=truth).memory
        logits = method.at_size(method.segment(features.rows(1, 2), memory), sizing.masks)
        prob = sizing.restore(logits.float().softmax(1)[0])
        mine = prob[1 + reference.channels.index(channel)]
        return F.interpolate(mine[None, None], size=(window.side, window.side), mode="bilinear", align_corners=False)[0, 0]

    def _begun(self, reference: Reference) -> Any:
        """The memory after the reference crop: the same for every frame, so it is made once."""
        method, sizing, objects = self._method, self._sizing, len(reference.channels)
        given = torch.ones(1, objects, dtype=torch.bool, device=method.device)
        prompted = Prompted(sizing.planes(reference.planes.to(method.device))[None], given)
        features = method.encode(sizing.image(reference.image.to(method.device)))
        return method.step(features, method.start(1, objects, sizing.network), 0, prompted, size=sizing.masks).memory


def with_probability(prob: Float[Tensor, "K H W"], channel: int, window: Window, mine: Float[Tensor, "h w"]) -> Tensor:
    """The distribution in which the object has that probability inside the window: the others keep their proportions,
    ``p'_m = p_m (1 - p'_n) / max(1 - p_n, 1e-6)``. What they cannot take, where they were nothing, is background."""
    inside = prob[:, window.place[0], window.place[1]]
    changed = inside * ((1 - mine) / (1 - inside[channel + 1]).clamp(min=1e-6))
    changed[channel + 1] = mine
    changed[0] += (1 - changed.sum(0)).clamp(min=0)
    revised = prob.clone()
    revised[:, window.place[0], window.place[1]] = changed
    return revised
