"""The space-time memory read: every location of a frame averages the values of the stored frames by similarity of keys.

Exact, in float32, over the `top_k` most similar tokens or over all of them. Queries are worked through in slices, so that
the scores of no more than `SCORES` pairs of tokens exist at a time. Tokens are rows here, because the best of them are
gathered; `matching` holds the dense forms of the same functions.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

SCORES = 2**25  # 128 MiB in float32
SIMILARITIES = ("dot", "l2")


def read_memory(
    query: Float[Tensor, "B L Ck"],
    key: Float[Tensor, "B G M Ck"],
    value: Float[Tensor, "B G M S Cv"],
    *,
    similarity: str,
    top_k: int | None,
    valid: Bool[Tensor, "B G*S M"] | None = None,
    kernel_sigma: float | None = None,
    size: tuple[int, int] | None = None,
) -> Float[Tensor, "B G*S L Cv"]:
    """Read-out of each object at each query. The objects come in G groups of S that share their keys, and so the affinity.

    Similarity: "dot" ``k.q / sqrt(Ck)``, or "l2" ``(2 k.q - k.k) / sqrt(Ck)``, the squared distance without the term that
    no softmax over the memory sees. `valid`: tokens that an object may read, where not every object may read all; at least
    one each. `kernel_sigma` (cells of the query's grid `size` (h, w)): a token counts less the farther a query lies from the
    one that is most similar to it, by a Gaussian. Source: STM, Eq. 1; STCN, Eq. 5; KMN, Eq. 6 to 8.
    """
    if similarity not in SIMILARITIES:
        raise ValueError(f"similarity={similarity}: expected one of {', '.join(SIMILARITIES)}")
    batch, groups, tokens, shared, _width = value.shape
    # float32, autocast off: affinities are sharp, and -k.k and 2 k.q are large numbers of nearly equal size.
    with torch.autocast(query.device.type, enabled=False):
        score = _score_of(query.float(), key.float(), similarity)
        lines = query.shape[1]
        rivals = groups if valid is None else groups * shared
        step = max(1, SCORES // max(1, batch * rivals * tokens))
        nearest = None
        if kernel_sigma is not None:
            assert size is not None
            nearest = _nearest_query(score, query.float(), similarity, step)
        parts = []
        for start in range(0, lines, step):
            part = score(start, min(start + step, lines))  # B G l M
            if nearest is not None and size is not None and kernel_sigma is not None:
                part = part - _squared_distance(nearest, start, part.shape[2], size) / (2 * kernel_sigma**2)
            if valid is not None:
                own = valid.unflatten(1, (groups, shared))[:, :, :, None]
                part = torch.where(own, part[:, :, None], -torch.inf).flatten(1, 2)  # B N l M
            parts.append(_averaged(part, value, top_k))
        return parts[0] if len(parts) == 1 else torch.cat(parts, 2)


def _score_of(
    query: Float[Tensor, "B L Ck"], key: Float[Tensor, "B G M Ck"], similarity: str
) -> Callable[[int, int], Float[Tensor, "B G l M"]]:
    """Similarities of the queries start..stop-1 with all tokens."""
    batch, groups, tokens, width = key.shape
    scale = 1 / math.sqrt(width)
    flat = key.flatten(1, 2).transpose(1, 2)  # B Ck G*M
    offset = key.square().sum(3).view(batch, 1, groups * tokens) * -scale if similarity == "l2" else None

    def score(start: int, stop: int) -> Tensor:
        rows = query[:, start:stop] * (scale if offset is None else 2 * scale)
        found = torch.bmm(rows, flat) if offset is None else torch.baddbmm(offset, rows, flat)
        return found.view(batch, stop - start, groups, tokens).transpose(1, 2)

    return score


def _averaged(
    score: Float[Tensor, "B U l M"], value: Float[Tensor, "B G M S Cv"], top_k: int | None
) -> Float[Tensor, "B N l Cv"]:
    """Values averaged by the softmax of the scores, which are given per group (U = G) or per object (U = G S)."""
    batch, groups, tokens, shared, width = value.shape
    rows, lines = score.shape[1:3]
    # Scores of a group go for its S objects at once, as if their values were one long value.
    together = shared if rows == groups else 1
    if top_k is None or top_k >= tokens:
        weights = score.softmax(3).to(value.dtype)
        if rows == groups:
            read = torch.matmul(weights, value.flatten(3)).unflatten(3, (shared, width))
        else:
            weights = weights.unflatten(1, (groups, shared)).transpose(1, 2)
            read = torch.matmul(weights, value.permute(0, 3, 1, 2, 4)).permute(0, 2, 3, 1, 4)  # B G l S Cv
    else:
        best, place = score.topk(top_k, dim=3, sorted=False)
        weights = best.softmax(3).to(value.dtype)
        # Row of a table that holds all values, `together` objects in a row.
        first = torch.arange(batch * groups, device=score.device).view(batch, groups, 1, 1) * tokens
        if together == shared:
            row = place + first
        else:
            member = torch.arange(shared, device=score.device)[:, None, None]
            row = ((place.unflatten(1, (groups, shared)) + first[:, :, None]) * shared + member).flatten(1, 2)
        table = value.reshape(-1, together * width)
        read = F.embedding_bag(row.reshape(-1, top_k), table, per_sample_weights=weights.reshape(-1, top_k), mode="sum").view(
            batch, rows, lines, together, width
        )
    return read.transpose(2, 3).reshape(batch, groups * shared, lines, width)


def _nearest_query(
    score: Callable[[int, int], Tensor], query: Float[Tensor, "B L Ck"], similarity: str, step: int
) -> Int[Tensor, "B G M"]:
    """Number of the query most similar to each token."""
    best = place = None
    for start in range(0, query.shape[1], step):
        stop = min(start + step, query.shape[1])
        part = score(start, stop)
        if similarity == "l2":  # over the queries, -q.q counts
            part = part - query[:, start:stop].square().sum(2)[:, None, :, None] / math.sqrt(query.shape[2])
        highest, where = part.max(2)
        if best is None or place is None:
            best, place = highest, where + start
        else:
            place = torch.where(highest > best, where + start, place)
            best = torch.maximum(best, highest)
    assert place is not None
    return place


def _squared_distance(nearest: Tensor, start: int, count: int, size: tuple[int, int]) -> Float[Tensor, "B G l M"]:
    """Between the queries start.. and the query that each token is nearest to, in cells."""
    own = torch.arange(start, start + count, device=nearest.device)[:, None]
    rows = nearest[:, :, None].div(size[1], rounding_mode="floor") - own.div(size[1], rounding_mode="floor")
    columns = nearest[:, :, None] % size[1] - own % size[1]
    return (rows.square() + columns.square()).float()
