"""Gated propagation, the stack of DeAOT (specification 3.7): a visual and an identity branch that share their attention.

X is the visual branch, Z the identity branch, both of width C; U are gates. No position code, no feed-forward part, one head.
"""

import math

import torch
from jaxtyping import Float
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.methods.aot_capa.attention import window_attention
from vosbench.methods.aot_capa.lstt import Parts

SCORES = 2**25  # attention scores that are held at once, bounds the memory that a read of many frames takes


class GatedPropagation(nn.Module):
    """The blocks: tokens of a frame and every block's memory -> what the decoder reads, and what `fuse` makes memory of.

    What a block remembers of a frame is K (B, S, C/2), V and V_id (both B, S, 2C); before the mask is known, K, V and LN(Z).
    """

    reads_features = False  # the decoder gets the last block's output alone

    def __init__(self, width: int, blocks: int, radius: int, drop_path: float, dropout: float) -> None:
        """`radius`: of the short-term window, tokens. `drop_path`: of a sample's self-propagation. `dropout`: of a channel of a
        propagated map."""
        super().__init__()
        self.width = width
        self.layers = nn.ModuleList(GatedBlock(width, radius, drop_path, dropout, first=number == 0) for number in range(blocks))
        self.decoder_norm = nn.GroupNorm(2, 2 * width)  # one group for each branch
        self.decoder_outputs = 2 * width
        for parameter in self.layers.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(
        self,
        tokens: Float[Tensor, "B S C"],
        size: tuple[int, int],
        long: list[Parts] | None,
        short: list[Parts] | None,
        identity: Float[Tensor, "B S C"] | None,
    ) -> tuple[list[Tensor], list[Parts]]:
        """`size` is that of the map. Either both memories are given, or the identity embedding of a reference frame, which is
        its own memory."""
        x, z = tokens, None
        candidates: list[Parts] = []
        for number, layer in enumerate(self.layers):
            memories = (None if long is None else long[number], None if short is None else short[number])
            x, z, candidate = layer(x, z, size, *memories, identity)
            candidates.append(candidate)
        assert z is not None
        joined = torch.cat([x, z], 2).transpose(1, 2)  # B 2C S
        return [self.decoder_norm(joined).transpose(1, 2)], candidates

    def fuse(self, candidates: list[Parts], identity: Float[Tensor, "B S C"]) -> list[Parts]:
        """What is remembered of a frame once its mask is known."""
        return [layer.fuse(candidate, identity) for layer, candidate in zip(self.layers, candidates, strict=True)]  # type: ignore[operator]


class GatedBlock(nn.Module):
    """One block. The `first` one has no identity branch yet: its identity gate is open, and V_id comes from the mask alone."""

    def __init__(self, width: int, radius: int, drop_path: float, dropout: float, *, first: bool) -> None:
        super().__init__()
        self.widths = [width // 2, 2 * width]  # of Q, V
        self.norm1 = nn.LayerNorm(width)
        self.linear_qv = nn.Linear(width, sum(self.widths))
        self.linear_u = nn.Linear(width, 2 * width)
        self.id_norm1 = None if first else nn.LayerNorm(width)
        self.linear_id_v = nn.Linear(width if first else 2 * width, 2 * width)
        self.linear_id_u = None if first else nn.Linear(width, 2 * width)
        self.long_term_attn = LongTerm(width, dropout)
        self.short_term_attn = ShortTerm(width, radius, dropout)
        self.norm2 = nn.LayerNorm(width)
        self.id_norm2 = nn.LayerNorm(width)
        self.self_attn = SelfPropagation(width, dropout)
        self.drop_path = DropPath(drop_path)

    def forward(
        self,
        x: Float[Tensor, "B S C"],
        z: Float[Tensor, "B S C"] | None,
        size: tuple[int, int],
        long: Parts | None,
        short: Parts | None,
        identity: Float[Tensor, "B S C"] | None,
    ) -> tuple[Float[Tensor, "B S C"], Float[Tensor, "B S C"], Parts]:
        normed = self.norm1(x)
        query, value = self.linear_qv(normed).split(self.widths, 2)
        gate = F.silu(self.linear_u(normed))
        # K = Q; not as a view, which would keep all of QV alive in memory.
        candidate = [query.contiguous(), F.silu(value)]
        if self.id_norm1 is None or self.linear_id_u is None or z is None:
            gate = torch.cat([gate, torch.ones_like(gate)], 2)
        else:
            id_normed = self.id_norm1(z)
            gate = torch.cat([gate, F.silu(self.linear_id_u(id_normed))], 2)
            candidate.append(id_normed)
        if identity is not None:
            long = short = self.fuse(candidate, identity)
        assert long is not None
        assert short is not None
        moved = self.long_term_attn(query, gate, long, size) + self.short_term_attn(query, gate, short, size)
        x_moved, z_moved = moved.chunk(2, 2)
        x, z = x + x_moved, z_moved if z is None else z + z_moved
        x_moved, z_moved = self.self_attn(self.norm2(x), self.id_norm2(z), size).chunk(2, 2)
        return x + self.drop_path(x_moved), z + self.drop_path(z_moved), candidate

    def fuse(self, candidate: Parts, identity: Float[Tensor, "B S C"]) -> Parts:
        """``V_id = silu(W_ID [LN(Z), E])``; the first block has no Z."""
        key, value, *id_normed = candidate
        return [key, value, F.silu(self.linear_id_v(torch.cat([*id_normed, identity], 2)))]


class Propagation(nn.Module):
    """``W_p(DW5(values * gate))``, the common end of the three propagations: 4C channels to the 2C of (dX, dZ)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.dw_conv = nn.Conv2d(4 * width, 4 * width, 5, padding=2, groups=4 * width, bias=False)
        self.dropout = nn.Dropout2d(dropout)
        self.projection = nn.Linear(4 * width, 2 * width)

    def gated(
        self, values: Float[Tensor, "B S C4"], gate: Float[Tensor, "B S C4"], size: tuple[int, int]
    ) -> Float[Tensor, "B S C2"]:
        as_map = (values * gate).unflatten(1, size).permute(0, 3, 1, 2)  # B 4C h w
        return self.projection(self.dropout(self.dw_conv(as_map)).flatten(2).transpose(1, 2))


class LongTerm(Propagation):
    """Attention over all stored tokens."""

    def forward(
        self, query: Float[Tensor, "B S Ck"], gate: Float[Tensor, "B S C4"], memory: Parts, size: tuple[int, int]
    ) -> Float[Tensor, "B S C2"]:
        key, *values = memory
        return self.gated(attended(query, key, values), gate, size)


class ShortTerm(Propagation):
    """Attention within a window around each token, in the newest frame; scores also depend on the place in the window."""

    def __init__(self, width: int, radius: int, dropout: float) -> None:
        super().__init__(width, dropout)
        self.radius = radius
        self.relative_emb_k = nn.Conv2d(width // 2, (2 * radius + 1) ** 2, 1)

    def forward(
        self, query: Float[Tensor, "B S Ck"], gate: Float[Tensor, "B S C4"], memory: Parts, size: tuple[int, int]
    ) -> Float[Tensor, "B S C2"]:
        key, *values = memory
        relative = F.linear(query, self.relative_emb_k.weight.flatten(1), self.relative_emb_k.bias)  # of the unscaled query
        value = torch.cat(values, 2)
        read, _ = window_attention(query[:, None], key[:, None], value[:, None], relative[:, None], size, self.radius)
        return self.gated(read[:, 0], gate, size)


class SelfPropagation(Propagation):
    """Attention among the tokens of the frame; both branches share it and have values and gates of their own."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__(width, dropout)
        self.linear_qk = nn.Linear(2 * width, width // 2)
        self.linear_v1, self.linear_v2 = nn.Linear(width, 2 * width), nn.Linear(width, 2 * width)
        self.linear_u1, self.linear_u2 = nn.Linear(width, 2 * width), nn.Linear(width, 2 * width)

    def forward(self, x: Float[Tensor, "B S C"], z: Float[Tensor, "B S C"], size: tuple[int, int]) -> Float[Tensor, "B S C2"]:
        query = self.linear_qk(torch.cat([x, z], 2))
        values = [F.silu(self.linear_v1(x)), F.silu(self.linear_v2(z))]
        gate = torch.cat([F.silu(self.linear_u1(x)), F.silu(self.linear_u2(z))], 2)
        return self.gated(attended(query, query, values), gate, size)


def attended(query: Float[Tensor, "B S Ck"], key: Float[Tensor, "B M Ck"], values: list[Tensor]) -> Float[Tensor, "B S C4"]:
    """Each of `values` (B, M, width) averaged with ``softmax_m(q . k_m / sqrt(Ck))``, side by side. The soft-max is in float32."""
    scale = 1 / math.sqrt(query.shape[2])
    rows = max(1, SCORES // (key.shape[0] * key.shape[1]))
    read = []
    for part in query.split(rows, 1):
        weights = torch.bmm(part * scale, key.transpose(1, 2)).float().softmax(2)
        read.append(torch.cat([torch.bmm(weights.to(value.dtype), value) for value in values], 2))
    return torch.cat(read, 1)
