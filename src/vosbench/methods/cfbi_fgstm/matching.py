"""Matching maps of every entry: how near the nearest pixel of the entry is, and of the others (specification 3.6 to 3.8)."""

from functools import reduce

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vosbench.methods.cfbi_fgstm.entries import Entries
from vosbench.methods.cfbi_fgstm.global_matching import Labelled, nearest_distances, on_grid
from vosbench.methods.cfbi_fgstm.local_matching import Windows, local_distances
from vosbench.methods.cfbi_fgstm.options import MatchingOptions
from vosbench.methods.cfbi_fgstm.resizing import labels_on, resized


class Matching:
    """Global and multi-local matching at one scale.

    A distance d becomes ``tanh((d + b) / 2)`` with a learnt bias b, one for the background and one for all objects.
    """

    def __init__(self, *, channels: int | None, windows: list[int], rate: int, halved: bool, options: MatchingOptions) -> None:
        """`channels`: leading ones that are compared, None for all. `halved`: local matching on a grid half as fine."""
        self.channels, self.rate, self.halved, self.options = channels, rate, halved, options
        self.windows = Windows(windows, rate)
        # The largest window comes first, then the others in ascending order, as published.
        self.order = [len(windows) - 1, *range(len(windows) - 1)]

    @property
    def num_maps(self) -> int:
        """Maps of an entry: global, local ones, previous mask; local and global ones of the others."""
        own = 2 + len(self.windows.sizes)
        return own + (1 + len(self.windows.sizes) if self.options.background else 0)

    def reference(
        self, embedding: Float[Tensor, "B C h w"], label_map: Int[Tensor, "B h w"], count: int
    ) -> tuple[list[Labelled], Int[Tensor, "B h w"]]:
        """What is remembered of a reference frame for every clip; and the labels that its pooled vectors are made of, which
        lose what sub-sampling takes away where large entries alone are sub-sampled (as the public code has it)."""
        thinned = on_grid(label_map, self.rate, self.options.min_pixels, count)
        compared = embedding[:, : self.channels]
        kept = [Labelled.of(vectors, labels, count) for vectors, labels in zip(compared, thinned, strict=True)]
        return kept, thinned if self.options.min_pixels else label_map

    def maps(
        self,
        query: Float[Tensor, "B C h w"],
        references: list[list[Labelled]],
        previous: Float[Tensor, "B C h w"],
        label_map: Int[Tensor, "B h w"],
        bias: Float[Tensor, "K"],
        entries: Entries,
    ) -> Float[Tensor, "P maps h w"]:
        """All maps of the entries, in the published order. `references` are those of each clip, `label_map` and `previous`
        the previous frame."""
        query, previous, count = query[:, : self.channels], previous[:, : self.channels], len(bias)
        nearest = torch.stack([nearest_distances(x, kept, count) for x, kept in zip(query, references, strict=True)])
        far = torch.tanh((nearest + bias[:, None, None]) / 2)[:, :, None]  # B K 1 h w
        near = self._local(query, previous, label_map, bias)  # B K W h w
        own = (label_map[:, None] == torch.arange(count, device=label_map.device)[:, None, None])[:, :, None].to(far.dtype)
        maps = [far, near, own]
        if self.options.background:
            maps += [of_nearest_other(near), of_nearest_other(far)]
        return entries.take(torch.cat(maps, 2))

    def _local(
        self,
        query: Float[Tensor, "B m h w"],
        previous: Float[Tensor, "B m h w"],
        label_map: Int[Tensor, "B h w"],
        bias: Float[Tensor, "K"],
    ) -> Float[Tensor, "B K W h w"]:
        size = (query.shape[2], query.shape[3])
        if self.halved:
            half = (size[0] // 2 + 1, size[1] // 2 + 1)
            query, previous, label_map = resized(query, half), resized(previous, half), labels_on(label_map, half)
        distances = local_distances(
            query,
            previous,
            label_map,
            count=len(bias),
            windows=self.windows,
            parallel_bytes=self.options.parallel_mib * 2**20,
        )
        near = torch.tanh((distances[:, :, self.order] + bias[:, None, None, None]) / 2)
        return resized(near.flatten(1, 2), size).unflatten(1, near.shape[1:3])


def of_nearest_other(maps: Float[Tensor, "B K maps h w"]) -> Float[Tensor, "B K maps h w"]:
    """For every entry, the lowest value of all others; with one entry its own.

    A channel that holds no object has no pixels, so its maps are 1, the largest value there is: it changes no minimum.
    """
    planes = maps.unbind(1)
    if len(planes) == 1:
        return maps
    return torch.stack([reduce(torch.minimum, planes[:n] + planes[n + 1 :]) for n in range(len(planes))], 1)
