"""Boxes and the maps they fill, on the network's device (specification 3.9).

A box is (x0, y0, x1, y1) in pixel edges of the network's input, half open; an absent one is four NaN. A map is 1 where a
pixel's centre lies in the box. Maps are drawn at the size at which they are read, never resized.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from vosbench.video.boxes import box_of_map

Window = tuple[int, int, int, int]  # (x0, y0, x1, y1): the part of the network's input that the frame fills


def tight_boxes(planes: Float[Tensor, "M H W"]) -> Float[Tensor, "M 4"]:
    """The smallest boxes that hold all pixels above 0.5; absent for an empty plane."""
    inside = planes > 0.5
    x0, x1 = _extent(inside.any(1))
    y0, y1 = _extent(inside.any(2))
    boxes = torch.stack([x0, y0, x1, y1], 1).float()
    return boxes.masked_fill(~inside.flatten(1).any(1)[:, None], torch.nan)


def rasterised(boxes: Float[Tensor, "M 4"], size: tuple[int, int], window: Window | None = None) -> Float[Tensor, "M 1 H W"]:
    """Box maps at `size` (H, W), zero outside `window`.

    A box that covers no pixel's centre sets the pixel that holds its own; one without an area, or outside, gives zeros.
    """
    x0, y0, x1, y1 = clipped(boxes, window or (0, 0, size[1], size[0])).unbind(1)
    columns = _covered(x0, x1, size[1])
    rows = _covered(y0, y1, size[0])
    faint = (x1 > x0) & (y1 > y0) & ~(columns.any(1) & rows.any(1))
    columns = torch.where(faint[:, None], _holding(x0, x1, size[1]), columns)
    rows = torch.where(faint[:, None], _holding(y0, y1, size[0]), rows)
    return (rows[:, :, None] & columns[:, None]).float()[:, None]


def clipped(boxes: Float[Tensor, "M 4"], window: Window) -> Float[Tensor, "M 4"]:
    """The part of each box inside the window; absent where nothing is left."""
    x, y = boxes[:, ::2].clamp(window[0], window[2]), boxes[:, 1::2].clamp(window[1], window[3])
    boxes = torch.stack([x, y], 2).flatten(1)
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(1)
    return boxes.masked_fill(~has_area[:, None], torch.nan)


def boxes_of_maps(
    prob: Float[Tensor, "M 1 H W"], threshold: float, component: str, window: Window | None = None
) -> tuple[Float[Tensor, "M 4"], list[bool]]:
    """Boxes of predicted maps and which of them are there; padded pixels count as 0.

    The only place of a frame that waits for the device: all maps come to the host at once, for the connected components.
    """
    x0, y0, x1, y1 = window or (0, 0, prob.shape[3], prob.shape[2])
    found = []
    for plane in prob[:, 0, y0:y1, x0:x1].detach().float().cpu().numpy():
        box = box_of_map(plane, threshold, component=component)
        found.append(None if box is None else (box[0] + x0, box[1] + y0, box[2] + x0, box[3] + y0))
    boxes = torch.tensor([[torch.nan] * 4 if box is None else box for box in found]).view(-1, 4)
    return boxes.to(prob.device, non_blocking=True), [box is not None for box in found]


def _extent(lines: Tensor) -> tuple[Tensor, Tensor]:
    """First place and one past the last of the marked ones, (M, S) -> (M), (M)."""
    return lines.int().argmax(1), lines.shape[1] - lines.flip(1).int().argmax(1)


def _covered(low: Tensor, high: Tensor, length: int) -> Tensor:
    centre = torch.arange(length, device=low.device) + 0.5
    return (centre >= low[:, None]) & (centre < high[:, None])


def _holding(low: Tensor, high: Tensor, length: int) -> Tensor:
    """The one place that holds the middle."""
    middle = ((low + high) / 2).nan_to_num(-1.0).floor().clamp(max=length - 1)
    return torch.arange(length, device=low.device) == middle[:, None]
