"""Global matching: the nearest reference pixel of every entry (specification 3.6)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from vosbench.methods.cfbi_fgstm.pooling import slots_of

FAR = 5e4  # distance to an entry without pixels: its map is 1 everywhere
# Numbers of the table of distances that are held at once: what a processor's cache keeps, and what an accelerator wants.
SCORES = {"cpu": 2**18, "cuda": 2**26}


def on_grid(label_map: Int[Tensor, "B h w"], rate: int, min_pixels: int, count: int) -> Int[Tensor, "B h w"]:
    """Labels with 255 off the atrous grid; with `min_pixels` only those of entries with more than that times rate^2 pixels."""
    if rate == 1:
        return label_map
    grid = torch.zeros(label_map.shape[1:], dtype=torch.bool, device=label_map.device)
    grid[::rate, ::rate] = True
    dropped = (~grid).expand(label_map.shape)
    if min_pixels:
        slots = slots_of(label_map, count)
        pixels = F.one_hot(slots, count + 1).sum(1)
        large = (pixels > min_pixels * rate**2).gather(1, slots).view_as(label_map)
        dropped = dropped & large
    return torch.where(dropped, 255, label_map)


@dataclass(frozen=True)
class Labelled:
    """Labelled pixels of one clip's reference frame, ordered by entry."""

    embedding: Float[Tensor, "Q m"]
    norm: Float[Tensor, "Q"]  # squared
    counts: list[int]  # pixels of the entries 0, 1, ...

    @staticmethod
    def of(embedding: Float[Tensor, "m h w"], label_map: Int[Tensor, "h w"], count: int) -> "Labelled":
        """Those of the pixels whose label is one of `count` entries."""
        slots = slots_of(label_map[None], count)[0]
        numbers = F.one_hot(slots, count + 1).sum(0).tolist()
        chosen = slots.argsort(stable=True)[numbers[0] :]
        vectors = embedding.flatten(1).T[chosen].float()
        return Labelled(vectors, vectors.square().sum(1), numbers[1:])


def nearest_distances(query: Float[Tensor, "m h w"], references: list[Labelled], count: int) -> Float[Tensor, "K h w"]:
    """Squared distance of every pixel to the nearest reference pixel of every entry, `FAR` for an entry that has none.

    ``|a|^2 + |b|^2 - 2 a.b`` is a matrix product with each entry's labelled pixels, some rows of it at a time. To train, only the
    winners are looked for in this way, and their distances are worked out again with a gradient.
    """
    with torch.autocast(query.device.type, enabled=False):
        vectors = query.float().flatten(1).T  # L m
        learns = torch.is_grad_enabled() and (vectors.requires_grad or any(r.embedding.requires_grad for r in references))
        nearest: list[Tensor | None] = [None] * count
        for reference in references:
            found = _of_winners(vectors, reference) if learns else _lowest(vectors, reference)
            for number, distance in found.items():
                before = nearest[number]
                nearest[number] = distance if before is None else torch.minimum(before, distance)
        absent = vectors.new_full(vectors.shape[:1], FAR)
        return torch.stack([absent if one is None else one for one in nearest]).unflatten(1, query.shape[1:])


def _lowest(vectors: Float[Tensor, "L m"], reference: Labelled) -> dict[int, Tensor]:
    own = vectors.square().sum(1)
    return {number: lowest + own for number, (_, lowest) in _reduced(vectors, reference, lambda score: score.amin(1)).items()}


def _of_winners(vectors: Float[Tensor, "L m"], reference: Labelled) -> dict[int, Tensor]:
    with torch.no_grad():
        found = _reduced(vectors, reference, lambda score: score.argmin(1))
    places = {number: start + place for number, (start, place) in found.items()}
    return {number: (vectors - reference.embedding[place]).square().sum(1) for number, place in places.items()}


def _reduced(
    vectors: Float[Tensor, "L m"], reference: Labelled, reduce: Callable[[Tensor], Tensor]
) -> dict[int, tuple[int, Tensor]]:
    """For every entry that has pixels, where they begin and what `reduce` makes of ``|b|^2 - 2 a.b`` over them."""
    rows = torch.cat([vectors, vectors.new_ones(len(vectors), 1)], 1)
    table = torch.cat([-2 * reference.embedding, reference.norm[:, None]], 1)
    found, start = {}, 0
    for number, length in enumerate(reference.counts):
        if length:
            columns = table[start : start + length].T.contiguous()
            parts = rows.split(max(1, SCORES.get(rows.device.type, SCORES["cuda"]) // length))
            found[number] = start, torch.cat([reduce(some @ columns) for some in parts])
        start += length
    return found
