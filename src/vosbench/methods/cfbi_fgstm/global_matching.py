"""Global matching: the nearest reference pixel of every entry (specification 3.6)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from vosbench.methods.cfbi_fgstm.pooling import slots_of

FAR = 5e4  # distance to an entry without pixels: its map is 1 everywhere
SCORES = 2**22  # numbers of the table of distances that is held at once: 16 MiB


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

    ``|a|^2 + |b|^2 - 2 a.b`` is one matrix product over the labelled pixels, of which each entry's are neighbours, so that
    its minimum is that of a block of columns. To train, only the winners are looked for in this way, and their distances are
    worked out again with a gradient.
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


def _blocks(reference: Labelled) -> list[tuple[int, int, int]]:
    """Entry, start and stop of every entry that has pixels."""
    found, start = [], 0
    for number, length in enumerate(reference.counts):
        if length:
            found.append((number, start, start + length))
        start += length
    return found


def _lowest(vectors: Float[Tensor, "L m"], reference: Labelled) -> dict[int, Tensor]:
    length, blocks = max(1, SCORES // max(1, len(reference.norm))), _blocks(reference)
    parts: dict[int, list[Tensor]] = {number: [] for number, _, _ in blocks}
    for some in vectors.split(length):
        score = torch.addmm(reference.norm, some, reference.embedding.T, alpha=-2)
        own = some.square().sum(1)
        for number, start, stop in blocks:
            parts[number].append(score[:, start:stop].amin(1) + own)
    return {number: torch.cat(part) for number, part in parts.items()}


def _of_winners(vectors: Float[Tensor, "L m"], reference: Labelled) -> dict[int, Tensor]:
    length, blocks = max(1, SCORES // max(1, len(reference.norm))), _blocks(reference)
    places: dict[int, list[Tensor]] = {number: [] for number, _, _ in blocks}
    with torch.no_grad():
        for some in vectors.split(length):
            score = torch.addmm(reference.norm, some, reference.embedding.T, alpha=-2)
            for number, start, stop in blocks:
                places[number].append(score[:, start:stop].argmin(1) + start)
    return {number: (vectors - reference.embedding[torch.cat(place)]).square().sum(1) for number, place in places.items()}
