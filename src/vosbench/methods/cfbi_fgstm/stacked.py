"""Maps side by side along the channels, never put together.

The ensembler's first layers read, for every entry, maps that do not depend on it (the current embedding) or depend on it only
through a mask (the previous embedding inside and outside the entry). What reads them is a factor per channel and a 1x1
convolution, which are linear: the factors go into the weights, energies and products are taken part by part, and nothing of
the size entries x channels x pixels is made that the next layer does not need.
"""

import abc
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from vosbench.methods.cfbi_fgstm.blocks import energy_of
from vosbench.methods.cfbi_fgstm.entries import Entries
from vosbench.methods.cfbi_fgstm.pooling import label_sums, of_others, slots_of


def locations(x: Float[Tensor, "P C h w"]) -> Float[Tensor, "P L C"]:
    """Channels last; no copy for a map in channels-last format."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


class Part(abc.ABC):
    """Some channels of the P entries of a pass."""

    channels: int

    @abc.abstractmethod
    def energy(self) -> Float[Tensor, "P C"]:
        """Sum of squares of every channel."""

    @abc.abstractmethod
    def mixed(self, weight: Float[Tensor, "P O C"]) -> Float[Tensor, "P O h w"]:
        """1x1 convolution with each entry's own weights."""


class Own(Part):
    """Channels of the entries' own."""

    def __init__(self, maps: Float[Tensor, "P C h w"]) -> None:
        self.maps, self.channels = maps, maps.shape[1]

    def energy(self) -> Float[Tensor, "P C"]:
        return energy_of(self.maps)

    def mixed(self, weight: Float[Tensor, "P O C"]) -> Float[Tensor, "P O h w"]:
        return own_conv1x1(self.maps, weight)


@dataclass(frozen=True)
class ClipMap:
    """One map per clip, the same for all of its entries."""

    maps: Float[Tensor, "B C h w"]

    @cached_property
    def energies(self) -> Float[Tensor, "B C"]:
        """Sum of squares of every channel, worked out once for all passes."""
        return energy_of(self.maps)

    def of(self, entries: Entries) -> "Shared":
        """For the entries of one pass."""
        return Shared(self, entries)


class Shared(Part):
    """A `ClipMap` for the entries of one pass."""

    def __init__(self, source: ClipMap, entries: Entries) -> None:
        self.source, self.entries, self.channels = source, entries, source.maps.shape[1]

    def energy(self) -> Float[Tensor, "P C"]:
        return self.source.energies[self.entries.clips]

    def mixed(self, weight: Float[Tensor, "P O C"]) -> Float[Tensor, "P O h w"]:
        return _clip_by_clip(self.source.maps, weight, self.entries)


@dataclass(frozen=True)
class FramePair:
    """Current and previous embedding of every clip. Of the previous one an entry sees the pixels of its own label and, as
    further channels, all the others."""

    current: Float[Tensor, "B C h w"]
    previous: Float[Tensor, "B C h w"]
    label_map: Int[Tensor, "B h w"]  # of the previous frame
    count: int  # entries K

    @cached_property
    def maps(self) -> Float[Tensor, "B channels h w"]:
        """Both embeddings."""
        return torch.cat([self.current, self.previous], 1).contiguous(memory_format=torch.channels_last)

    @cached_property
    def energies(self) -> Float[Tensor, "B K channels"]:
        """Sums of squares: current, previous inside every entry, previous outside."""
        inside, _ = label_sums(self.previous.float().square(), self.label_map, self.count)
        current = energy_of(self.current)[:, None].expand(-1, self.count, -1)
        return torch.cat([current, inside[:, 1:], of_others(inside)], 2)

    @cached_property
    def rows(self) -> list[list[Int[Tensor, "R"]]]:
        """Locations of each clip by label: those of nobody, then those of the entries 0..K-1."""
        slots = slots_of(self.label_map, self.count)
        order = slots.argsort(dim=1, stable=True)
        counts = F.one_hot(slots, self.count + 1).sum(1).tolist()
        return [list(clip.split(lengths)) for clip, lengths in zip(order, counts, strict=True)]

    def of(self, entries: Entries) -> "Matched":
        """For the entries of one pass."""
        return Matched(self, entries)


class Matched(Part):
    """A `FramePair` for the entries of one pass: current, previous inside the entry, previous outside."""

    def __init__(self, source: FramePair, entries: Entries) -> None:
        self.source, self.entries, self.channels = source, entries, 3 * source.current.shape[1]

    def energy(self) -> Float[Tensor, "P C"]:
        return self.entries.take(self.source.energies)

    def mixed(self, weight: Float[Tensor, "P O C"]) -> Float[Tensor, "P O h w"]:
        """Every pixel is inside or outside: it is mixed once, with the weights of the side that has more pixels, and those of
        the other side get the difference."""
        common, corrections = [], []
        for place, (clip, number) in enumerate(zip(self.entries.clips, self.entries.numbers, strict=True)):
            current, inside, outside = weight[place].chunk(3, dim=1)
            rows = self.source.rows[clip]
            few, most = rows[number + 1], outside
            if 2 * len(few) > self.source.label_map[0].numel():
                few, most = torch.cat([*rows[: number + 1], *rows[number + 2 :]]), inside
            common.append(torch.cat([current, most], 1))
            corrections.append((place, clip, few, inside + outside - 2 * most))
        total = _clip_by_clip(self.source.maps, torch.stack(common), self.entries)
        flat, previous = locations(total), locations(self.source.previous)
        for place, clip, few, difference in corrections:
            if len(few):
                flat[place].index_add_(0, few, (previous[clip, few] @ difference.T).to(flat.dtype))
        return flat.unflatten(1, total.shape[2:]).permute(0, 3, 1, 2)


class Stacked:
    """Parts side by side."""

    def __init__(self, *parts: Part) -> None:
        self.parts = parts

    def energy(self) -> Float[Tensor, "P C"]:
        """Sum of squares of every channel."""
        return torch.cat([part.energy() for part in self.parts], 1)

    def mixed(self, weight: Float[Tensor, "O C"], factor: Float[Tensor, "P C"]) -> Float[Tensor, "P O h w"]:
        """1x1 convolution of the channels times each entry's own factors."""
        own = (weight * factor[:, None]).split([part.channels for part in self.parts], 2)
        total = self.parts[0].mixed(own[0])
        for part, weights in zip(self.parts[1:], own[1:], strict=True):
            total += part.mixed(weights)
        return total


def own_conv1x1(maps: Float[Tensor, "Q C h w"], weight: Float[Tensor, "P O C"]) -> Float[Tensor, "P O h w"]:
    """1x1 convolution with weights of each entry's own; Q = 1 serves all entries."""
    if len(weight) == 1:  # as a convolution: on two threads and a large map a quarter faster than the product
        channels_last = maps.contiguous(memory_format=torch.channels_last)
        return F.conv2d(channels_last, weight[0, :, :, None, None].to(maps.dtype))
    flat = locations(maps).expand(len(weight), -1, -1)
    return torch.bmm(flat, weight.to(flat.dtype).transpose(1, 2)).unflatten(1, maps.shape[2:]).permute(0, 3, 1, 2)


def _clip_by_clip(maps: Float[Tensor, "B C h w"], weight: Float[Tensor, "P O C"], entries: Entries) -> Float[Tensor, "P O h w"]:
    """Each entry reads its clip's map, which is not copied."""
    mixed = [own_conv1x1(maps[clip : clip + 1], weight[start:stop]) for clip, start, stop in entries.by_clip()]
    return mixed[0] if len(mixed) == 1 else torch.cat(mixed)
