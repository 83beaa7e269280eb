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
    def steps(self) -> list[int]:
        """Offsets of each window to one side."""
        return [size // self.rate for size in self.sizes]


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
        # Offsets are multiples of the rate, so that pixels of one phase meet only each other: each is a smaller map of its own.
        now, before = _phases(query.float(), windows.rate, 0), _phases(previous.float(), windows.rate, 0)
        labels = _phases(label_map[:, None], windows.rate, 255)[:, 0]
        steps = windows.steps
        at_once = 4 * now.numel() * (2 * steps[-1] + 1) ** 2 <= parallel_bytes
        distances = (all_at_once if at_once else row_by_row)(now, before, labels, count, steps)
        return _joined(distances, windows.rate, query)


def all_at_once(
    query: Float[Tensor, "B m h w"],
    previous: Float[Tensor, "B m h w"],
    label_map: Int[Tensor, "B h w"],
    count: int,
    steps: list[int],
) -> Float[Tensor, "B K W h w"]:
    """All offsets in one tensor: views of the padded previous frame, shifted. `steps`: pixels of each window to one side."""
    height, width = query.shape[2:]
    padding = (steps[-1],) * 4

    def shifted(padded: Tensor) -> Tensor:
        """(..., H, W) -> (..., rows of offsets, columns of offsets, h, w)"""
        return padded.unfold(-2, height, 1).unfold(-2, width, 1)

    distance = (query[:, :, None, None] - shifted(F.pad(previous, padding))).square().sum(1)
    label = shifted(F.pad(label_map, padding, value=255))
    entries = torch.arange(count, device=label.device)[:, None, None, None, None]
    own = torch.where(label[:, None] == entries, distance[:, None], FAR)
    nearest = []
    for step in steps:
        square = slice(steps[-1] - step, steps[-1] + step + 1)
        nearest.append(own[:, :, square, square].amin((2, 3)))
    return torch.stack(nearest, 2)


def row_by_row(
    query: Float[Tensor, "B m h w"],
    previous: Float[Tensor, "B m h w"],
    label_map: Int[Tensor, "B h w"],
    count: int,
    steps: list[int],
) -> Float[Tensor, "B K W h w"]:
    """Running minima over rows of offsets. To train, only the winners are looked for in this way, and their distances are
    worked out again with a gradient."""
    if torch.is_grad_enabled() and (query.requires_grad or previous.requires_grad):
        with torch.no_grad():
            lowest, place = _search(query, previous, label_map, count, steps, track=True)
        assert place is not None
        return torch.where(lowest < FAR / 2, _distance_at(query, previous, place, steps[-1]), FAR)
    return _search(query, previous, label_map, count, steps, track=False)[0].clamp(max=FAR)


def _search(
    query: Tensor, previous: Tensor, label_map: Tensor, count: int, steps: list[int], *, track: bool
) -> tuple[Float[Tensor, "B K W h w"], Int[Tensor, "B K W h w"] | None]:
    """Lowest distances, and at which offset (row x columns of offsets + column) if `track`.

    One row of offsets is a product of each row of pixels with one row of the previous frame,
    ``|a|^2 + |b|^2 - 2 a.b``, of which the offsets are a band of diagonals. Pixels of other entries are `FAR` farther.
    """
    batch, _, height, width = query.shape
    reach, span = steps[-1], 2 * steps[-1] + 1
    wide = width + 2 * reach
    rows = query.permute(0, 2, 3, 1).reshape(batch * height, width, -1)
    padded = F.pad(previous.permute(0, 2, 3, 1), (0, 0, reach, reach, reach, reach))
    entries = torch.arange(count, device=query.device)[:, None, None]
    other = F.pad(label_map, (reach,) * 4, value=255)[:, None] != entries  # B K H W
    constant = padded.square().sum(3)[:, None] + 2 * FAR * other
    lowest = query.new_full((len(steps), batch, count, height, width), 4 * FAR)
    place = torch.zeros_like(lowest, dtype=torch.long) if track else None
    rings = _rings(steps)
    for row in range(span):
        others = padded[:, row : row + height].reshape(batch * height, wide, -1)
        product = torch.bmm(rows, others.transpose(1, 2)).mul_(-2)
        band = product.as_strided((batch, 1, height, width, span), (height * width * wide, 0, width * wide, wide + 1, 1))
        offset = constant[:, :, row : row + height].unfold(3, width, 1).transpose(3, 4)
        score = (band + offset).unbind(4)
        first = _smallest(row - reach, steps)
        for window in range(first, len(steps)):
            columns = [column for ring in rings[: window + 1] for column in ring] if window == first else rings[window]
            if place is not None and columns:
                _take_lower(lowest[window], place[window], torch.stack([score[c] for c in columns], -1), columns, row * span)
            elif columns:
                lowest[window] = reduce(torch.minimum, [lowest[window], *(score[c] for c in columns)])
    for window in range(1, len(steps)):
        if place is not None:
            place[window] = torch.where(lowest[window - 1] < lowest[window], place[window - 1], place[window])
        lowest[window] = torch.minimum(lowest[window - 1], lowest[window])
    lowest = lowest + query.square().sum(1)[:, None]
    return lowest.permute(1, 2, 0, 3, 4), None if place is None else place.permute(1, 2, 0, 3, 4)


def _smallest(offset: int, steps: list[int]) -> int:
    """Place of the smallest window that contains an offset."""
    return next(place for place, step in enumerate(steps) if abs(offset) <= step)


def _rings(steps: list[int]) -> list[list[int]]:
    """For every window, the offsets along one axis, counted from 0, that no smaller window contains."""
    rings: list[list[int]] = [[] for _ in steps]
    for offset in range(-steps[-1], steps[-1] + 1):
        rings[_smallest(offset, steps)].append(offset + steps[-1])
    return rings


def _take_lower(lowest: Tensor, place: Tensor, score: Tensor, columns: list[int], base: int) -> None:
    """Running minimum of one window, and where it was found."""
    best, column = score.min(-1)
    lower = best < lowest
    lowest[lower] = best[lower]
    place[lower] = base + torch.tensor(columns, device=column.device)[column][lower]


def _distance_at(query: Tensor, previous: Tensor, place: Int[Tensor, "B K W h w"], reach: int) -> Float[Tensor, "B K W h w"]:
    """Distances to the previous frame's pixels at those offsets, with a gradient; offsets out of the image are held to it."""
    height, width = query.shape[2:]
    span = 2 * reach + 1
    y = torch.arange(height, device=place.device)[:, None] + place // span - reach
    x = torch.arange(width, device=place.device) + place % span - reach
    index = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
    distances = []
    for own, vectors, chosen in zip(query, previous, index, strict=True):
        winners = vectors.flatten(1).T[chosen.flatten(0, 1)]  # (K W) h w m
        distances.append((own.permute(1, 2, 0) - winners.view(-1, height, width, own.shape[0])).square().sum(-1))
    return torch.stack(distances).view(index.shape)


def _phases(maps: Tensor, rate: int, fill: int) -> Tensor:
    """(B, C, H, W) -> (B rate rate, C, h, w): every `rate`-th row and column from each start; `fill` beyond the border."""
    if rate == 1:
        return maps
    height, width = maps.shape[2:]
    padded = F.pad(maps, (0, -width % rate, 0, -height % rate), value=fill)
    split = padded.unflatten(3, (-1, rate)).unflatten(2, (-1, rate))  # B C h rate w rate
    return split.permute(0, 3, 5, 1, 2, 4).flatten(0, 2)


def _joined(distances: Float[Tensor, "phases K W _ _"], rate: int, like: Float[Tensor, "B m h w"]) -> Float[Tensor, "B K W h w"]:
    """The phases put together again."""
    if rate == 1:
        return distances
    split = distances.unflatten(0, (-1, rate, rate)).permute(0, 3, 4, 5, 1, 6, 2)  # B K W h rate w rate
    return split.flatten(5, 6).flatten(3, 4)[..., : like.shape[2], : like.shape[3]]
