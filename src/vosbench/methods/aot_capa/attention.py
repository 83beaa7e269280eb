"""Attention of AOT's blocks: over all stored tokens, and over a window around each token (specification 3.5).

Tokens of a map of `size` (h, w) stand row by row. All functions take heads apart, ``(B, a, S, d)``, a heads of width d.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def heads_apart(tokens: Float[Tensor, "B S C"], heads: int) -> Float[Tensor, "B a S d"]:
    """A view, no copy."""
    return tokens.unflatten(2, (heads, -1)).transpose(1, 2)


def heads_joined(tokens: Float[Tensor, "B a S d"]) -> Float[Tensor, "B S C"]:
    """Inverse of `heads_apart`."""
    return tokens.transpose(1, 2).flatten(2)


def attend(
    query: Float[Tensor, "B S C"], key: Float[Tensor, "B M C"], value: Float[Tensor, "B M D"], heads: int
) -> Float[Tensor, "B S D"]:
    """``sum_j softmax_j(q . k_j / sqrt d) v_j`` for every head."""
    q, k, v = (heads_apart(tokens, heads) for tokens in (query, key, value))
    return heads_joined(F.scaled_dot_product_attention(q, k, v))


def window_attention(
    query: Float[Tensor, "B a S d"],
    key: Float[Tensor, "B a S d"],
    value: Float[Tensor, "B a S e"],
    relative: Float[Tensor, "B a S w"],
    size: tuple[int, int],
    radius: int,
) -> tuple[Float[Tensor, "B a S e"], Float[Tensor, "B a S w"]]:
    """Each token p attends to the w = D^2 tokens at most `radius` away, D = 2 radius + 1: output and weights.

    ``s_delta = q_p . k_(p + delta) / sqrt d + relative_p,delta``, softmax over the offsets delta = (dy, dx) in row-major order;
    offsets that leave the map have weight 0.

    No windows are copied. Keys and values are padded by `radius`, so that the D rows around the tokens of one row lie in one
    piece: the scores of a row against its band are one product, and a token's window is a diagonal view into them.
    """
    batch, heads, _, depth = query.shape
    height, width = size
    side, padded = 2 * radius + 1, width + 2 * radius
    rows = (query / math.sqrt(depth)).reshape(batch * heads, height, width, depth)
    keys, values = _bands(key, size, radius), _bands(value, size, radius)
    relative = relative.reshape(batch * heads, height, width, side, side)
    border = _border(size, radius, relative)
    # Without gradients a processor takes one head after the other: its scores then stay in the cache, and the products take
    # the overlapping rows as they lie, where a product over all heads would copy them.
    pieces = len(rows) if query.device.type == "cpu" and not torch.is_grad_enabled() else 1
    spread = torch.zeros(len(rows) // pieces, height, width, side * padded, dtype=values.dtype, device=values.device)
    found = [
        _window_piece(*parts, border=border, spread=spread)
        for parts in zip(*(tensor.chunk(pieces) for tensor in (rows, keys, values, relative)), strict=True)
    ]
    output, weights = (torch.cat(tensors) if pieces > 1 else tensors[0] for tensors in zip(*found, strict=True))
    return output.reshape(batch, heads, height * width, -1), weights.view(batch, heads, height * width, -1)


def _window_piece(
    rows: Float[Tensor, "P h w d"],
    keys: Float[Tensor, "P h L d"],
    values: Float[Tensor, "P h L e"],
    relative: Float[Tensor, "P h w D D"],
    *,
    border: Float[Tensor, "h w D D"],
    spread: Float[Tensor, "P h w L"],
) -> tuple[Float[Tensor, "P h w e"], Float[Tensor, "P h w D2"]]:
    """Output and weights of some heads. `spread` is zero outside the windows, which are overwritten."""
    band = rows @ keys.transpose(-1, -2)
    window, (bands, side) = relative.shape, (band.shape[3], relative.shape[4])
    # From one token of the row to the next, the window moves one further to the right.
    steps = (band.stride(0), band.stride(1), bands + 1, bands // side, 1)
    score = torch.as_strided(band, window, steps) + relative
    weights = (score + border).flatten(3).softmax(3)
    torch.as_strided(spread, window, steps).copy_(weights.view(window))
    return spread @ values, weights


def _bands(tokens: Float[Tensor, "B a S d"], size: tuple[int, int], radius: int) -> Float[Tensor, "P h L d"]:
    """For each row of the map the tokens of the rows at most `radius` away, zeros outside the map: a view that overlaps."""
    grid = F.pad(tokens.flatten(0, 1).unflatten(1, size), (0, 0, radius, radius, radius, radius))
    return grid.unfold(1, 2 * radius + 1, 1).permute(0, 1, 4, 2, 3).flatten(2, 3)


def _border(size: tuple[int, int], radius: int, like: Tensor) -> Float[Tensor, "h w D D"]:
    """0 where an offset stays on the map, minus infinity where it leaves it."""
    inside = []
    for extent in size:
        place = torch.arange(extent, device=like.device)[:, None] + torch.arange(-radius, radius + 1, device=like.device)
        inside.append((place >= 0) & (place < extent))
    both = inside[0][:, None, :, None] & inside[1][None, :, None, :]
    return torch.zeros(both.shape, dtype=like.dtype, device=like.device).masked_fill(~both, -torch.inf)
