"""Multi-local matching: the nearest pixel of every entry in the previous frame, within windows of growing size
(specification 3.7). Two implementations that agree; `local_distances` chooses by the memory that the first would take."""

from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from vosbench.methods.cfbi_fgstm.global_matching import FAR


@dataclass(frozen=True)
class Windows:
    """Offsets that are compared: multiples of `rate` up to the largest of the `sizes` (ascending), both ways."""

    sizes: list[int]
    rate: int

    @property
    def steps(self) -> int:
        """Offsets to each side."""
        return self.sizes[-1] // self.rate

    @property
    def reach(self) -> int:
        """The largest offset, in pixels."""
        return self.steps * self.rate

    def smallest(self, offset: int) -> int:
        """Place of the smallest window that contains an offset."""
        return next(place for place, size in enumerate(self.sizes) if abs(offset) <= size)

    def rings(self) -> list[list[int]]:
        """For every window, the steps -steps..steps (counted from 0) along one axis that no smaller window contains."""
        rings: list[list[int]] = [[] for _ in self.sizes]
        for step in range(2 * self.steps + 1):
            rings[self.smallest((step - self.steps) * self.rate)].append(step)
        return rings


def local_distances(
    query: Float[Tensor, "B m h w"],
    previous: Float[Tensor, "B m h w"],
    label_map: Int[Tensor, "B h w"],
    *,
    count: int,
    windows: Windows,
    parallel_bytes: int,
) -> Float[Tensor, "B K W h w"]:
    """Squared distance of every pixel to the nearest pixel of every entry in each window around it, `FAR` where there is none.
    K = `count` entries."""
    # In float32, autocast off: differences of large numbers of nearly equal size.
    with torch.autocast(query.device.type, enabled=False):
        query, previous = query.float(), previous.float()
        if 4 * query.numel() * (2 * windows.steps + 1) ** 2 <= parallel_bytes:
            return all_at_once(query, previous, label_map, count, windows)
        return row_by_row(query, previous, label_map, count, windows)


def all_at_once(
    query: Float[Tensor, "B m h w"],
    previous: Float[Tensor, "B m h w"],
    label_map: Int[Tensor, "B h w"],
    count: int,
    windows: Windows,
) -> Float[Tensor, "B K W h w"]:
    """All offsets in one tensor: views of the padded previous frame, shifted."""
    (height, width), rate = query.shape[2:], windows.rate
    padding = (windows.reach,) * 4

    def shifted(padded: Tensor) -> Tensor:
        """(..., H, W) -> (..., rows of offsets, columns of offsets, h, w)"""
        return padded.unfold(-2, height, rate).unfold(-2, width, rate)

    distance = (query[:, :, None, None] - shifted(F.pad(previous, padding))).square().sum(1)
    label = shifted(F.pad(label_map, padding, value=255))
    entries = torch.arange(count, device=label.device)[:, None, None, None, None]
    own = torch.where(label[:, None] == entries, distance[:, None], FAR)
    inside = windows.steps
    nearest = []
    for size in windows.sizes:
        steps = size // rate
        square = slice(inside - steps, inside + steps + 1)
        nearest.append(own[:, :, square, square].amin((2, 3)))
    return torch.stack(nearest, 2)


def row_by_row(
    query: Float[Tensor, "B m h w"],
    previous: Float[Tensor, "B m h w"],
    label_map: Int[Tensor, "B h w"],
    count: int,
    windows: Windows,
) -> Float[Tensor, "B K W h w"]:
    """Running minima over rows of offsets. To train, only the winners are looked for in this way, and their distances are
    worked out again with a gradient."""
    if torch.is_grad_enabled() and (query.requires_grad or previous.requires_grad):
        with torch.no_grad():
            lowest, place = _search(query, previous, label_map, count, windows, track=True)
        assert place is not None
        return torch.where(lowest < FAR / 2, _distance_at(query, previous, place, windows), FAR)
    return _search(query, previous, label_map, count, windows, track=False)[0].clamp(max=FAR)


def _search(
    query: Tensor, previous: Tensor, label_map: Tensor, count: int, windows: Windows, *, track: bool
) -> tuple[Float[Tensor, "B K W h w"], Int[Tensor, "B K W h w"] | None]:
    """Lowest distances, and at which offset (row x columns of offsets + column) if `track`.

    One row of offsets is a product of each row of pixels with one row of the previous frame,
    ``|a|^2 + |b|^2 - 2 a.b``, of which the offsets are a band of diagonals. Pixels of other entries are `FAR` farther.
    """
    batch, _, height, width = query.shape
    reach, steps, rate = windows.reach, windows.steps, windows.rate
    span, wide = 2 * steps + 1, width + 2 * reach
    rows = query.permute(0, 2, 3, 1).reshape(batch * height, width, -1)
    padded = F.pad(previous.permute(0, 2, 3, 1), (0, 0, reach, reach, reach, reach))
    entries = torch.arange(count, device=query.device)[:, None, None]
    other = F.pad(label_map, (reach,) * 4, value=255)[:, None] != entries  # B K H W
    constant = padded.square().sum(3)[:, None] + 2 * FAR * other
    lowest = query.new_full((len(windows.sizes), batch, count, height, width), 4 * FAR)
    place = torch.zeros_like(lowest, dtype=torch.long) if track else None
    rings = windows.rings()
    for row in range(span):
        start = row * rate
        others = padded[:, start : start + height].reshape(batch * height, wide, -1)
        product = torch.bmm(rows, others.transpose(1, 2)).mul_(-2)
        band = product.as_strided((batch, 1, height, width, span), (height * width * wide, 0, width * wide, wide + 1, rate))
        offset = constant[:, :, start : start + height].unfold(3, width, rate).transpose(3, 4)
        score = (band + offset).unbind(4)
        first = windows.smallest((row - steps) * rate)
        for window in range(first, len(rings)):
            columns = [step for ring in rings[: window + 1] for step in ring] if window == first else rings[window]
            if track:
                _take_lower(lowest[window], place[window], torch.stack([score[c] for c in columns], -1), columns, row * span)
            else:
                lowest[window] = reduce(torch.minimum, [lowest[window], *(score[c] for c in columns)])
    for window in range(1, len(rings)):
        if place is not None:
            place[window] = torch.where(lowest[window - 1] < lowest[window], place[window - 1], place[window])
        lowest[window] = torch.minimum(lowest[window - 1], lowest[window])
    lowest = lowest + query.square().sum(1)[:, None]
    return lowest.permute(1, 2, 0, 3, 4), None if place is None else place.permute(1, 2, 0, 3, 4)


def _take_lower(lowest: Tensor, place: Tensor, score: Tensor, columns: list[int], base: int) -> None:
    """Running minimum of one window, and where it was found."""
    best, column = score.min(-1)
    lower = best < lowest
    lowest[lower] = best[lower]
    place[lower] = base + torch.tensor(columns, device=column.device)[column][lower]


def _distance_at(
    query: Tensor, previous: Tensor, place: Int[Tensor, "B K W h w"], windows: Windows
) -> Float[Tensor, "B K W h w"]:
    """Distances to the previous frame's pixels at those offsets, with a gradient; offsets out of the image are held to it."""
    height, width = query.shape[2:]
    span = 2 * windows.steps + 1
    y = torch.arange(height, device=place.device)[:, None] + (place // span - windows.steps) * windows.rate
    x = torch.arange(width, device=place.device) + (place % span - windows.steps) * windows.rate
    index = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
    distances = []
    for own, vectors, chosen in zip(query, previous, index, strict=True):
        winners = vectors.flatten(1).T[chosen.flatten(0, 1)]  # (K W) h w m
        distances.append((own.permute(1, 2, 0) - winners.view(-1, height, width, own.shape[0])).square().sum(-1))
    return torch.stack(distances).view(index.shape)
