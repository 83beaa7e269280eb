"""Square windows around small objects, and how pictures and masks are cut out and resized."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from vosbench.layers.sizing import Sizing, in_unit_range


@dataclass(frozen=True)
class Area:
    """Where the frame lies in the masks' size (padding around it, resizing), in pixels of the masks."""

    top: int
    left: int
    height: int
    width: int
    frame: tuple[int, int]  # (H, W) of the frame itself

    @staticmethod
    def of(sizing: Sizing) -> "Area":
        """As the sizing lays the frame out."""
        inside = sizing.planes(torch.ones(1, *sizing.frame))[0] > 0
        rows, columns = inside.any(1).nonzero()[:, 0], inside.any(0).nonzero()[:, 0]
        return Area(int(rows[0]), int(columns[0]), len(rows), len(columns), sizing.frame)

    @property
    def diagonal(self) -> float:
        """In pixels of the masks."""
        return float(np.hypot(self.height, self.width))

    @property
    def shorter(self) -> int:
        """The shorter side, in pixels of the masks."""
        return min(self.height, self.width)


@dataclass(frozen=True)
class Window:
    """A square of the masks."""

    top: int
    left: int
    side: int

    @staticmethod
    def around(mask: Bool[np.ndarray, "H W"], area: Area, scale: float, least: float) -> "Window":
        """Centred on the bounding box of a mask that is not empty; the side is `scale` times the longer side of the box, at
        least the share `least` of the frame's shorter side and at most all of it; shifted, not shrunk, into the frame."""
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
        wanted = max(scale * max(bottom - top, right - left), least * area.shorter)
        side = max(1, round(min(wanted, area.shorter)))
        y, x = round((top + bottom - side) / 2), round((left + right - side) / 2)
        y = min(max(y, area.top), area.top + area.height - side)
        x = min(max(x, area.left), area.left + area.width - side)
        return Window(y, x, side)

    @property
    def place(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.top, self.top + self.side), slice(self.left, self.left + self.side)

    def of_image(
        self, image: UInt8[Tensor, "H W 3"] | Float[Tensor, "H W 3"], area: Area, crop: int
    ) -> Float[Tensor, "crop crop 3"]:
        """The window's part of the frame, crop x crop pixels, bicubic. Cut out of the frame itself, whose detail a smaller
        working size has lost; where the two sizes differ, the cut is rounded to whole pixels of the frame."""
        down, across = area.frame[0] / area.height, area.frame[1] / area.width
        top, left = round((self.top - area.top) * down), round((self.left - area.left) * across)
        height, width = max(1, round(self.side * down)), max(1, round(self.side * across))
        part = in_unit_range(image[top : top + height, left : left + width])
        return F.interpolate(part, size=(crop, crop), mode="bicubic").clamp(0, 1)[0].permute(1, 2, 0)

    def of_label_map(self, label_map: UInt8[np.ndarray, "H W"], labels: list[int], crop: int) -> Float[Tensor, "N crop crop"]:
        """One plane for each of the labels, crop x crop pixels, nearest."""
        part = torch.from_numpy(label_map[self.place])
        planes = torch.stack([part == label for label in labels]).float()
        return F.interpolate(planes[None], size=(crop, crop), mode="nearest-exact")[0]
