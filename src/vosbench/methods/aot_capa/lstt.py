"""LSTT, AOT's Long Short-Term Transformer (specification 3.5), and the block of AOTv2 (3.6)."""

import torch
from jaxtyping import Float
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.layers.positions import sine_cosine_between_borders
from vosbench.methods.aot_capa.attention import attend, heads_apart, heads_joined, window_attention

Parts = list[Tensor]  # what a block remembers of a frame, each B S C': key and value; before the mask is known, key and tokens


class SelfAttention(nn.Module):
    """Multi-head attention of a frame to itself; the position code enters queries and keys."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.linear_q, self.linear_k, self.linear_v = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)
        self.projection = nn.Linear(width, width)

    def forward(self, tokens: Float[Tensor, "B S C"], position: Float[Tensor, "S C"]) -> Float[Tensor, "B S C"]:
        placed = tokens + position
        read = attend(self.linear_q(placed), self.linear_k(placed), self.linear_v(tokens), self.heads)
        return self.projection(read)


class LongTermAttention(nn.Module):
    """Every token reads all tokens of the long-term memory."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.projection = nn.Linear(width, width)

    def forward(
        self, query: Float[Tensor, "B S C"], key: Float[Tensor, "B M C"], value: Float[Tensor, "B M C"]
    ) -> Float[Tensor, "B S C"]:
        return self.projection(attend(query, key, value, self.heads))


class ShortTermAttention(nn.Module):
    """Every token reads a window of the previous frame; offsets have a key of their own, and a value of their own."""

    def __init__(self, width: int, heads: int, radius: int) -> None:
        super().__init__()
        offsets = (2 * radius + 1) ** 2
        self.heads, self.radius = heads, radius
        self.relative_emb_k = nn.Conv2d(width, heads * offsets, 1, groups=heads)
        self.relative_emb_v = nn.Parameter(torch.zeros(heads, width // heads, offsets))
        self.projection = nn.Linear(width, width)

    def forward(
        self,
        query: Float[Tensor, "B S C"],
        key: Float[Tensor, "B S C"],
        value: Float[Tensor, "B S C"],
        size: tuple[int, int],
    ) -> Float[Tensor, "B S C"]:
        query, key, value = (heads_apart(tokens, self.heads) for tokens in (query, key, value))
        read, weights = window_attention(query, key, value, self._relative(query), size, self.radius)
        read = read + weights.to(read.dtype) @ self.relative_emb_v.transpose(1, 2)
        return self.projection(heads_joined(read))

    def _relative(self, query: Float[Tensor, "B a S d"]) -> Float[Tensor, "B a S w"]:
        """Score of each offset for the query alone, which is not scaled here."""
        weight, bias = self.relative_emb_k.weight, self.relative_emb_k.bias
        assert bias is not None
        return query @ weight.view(self.heads, -1, query.shape[3]).transpose(1, 2) + bias.view(self.heads, 1, -1)


class MixingGELU(nn.Module):
    """``DW5(GELU(GN(x)))``: normalised over the map, and mixed with the neighbours, channel by channel."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.gn = nn.GroupNorm(groups, channels)
        self.conv = nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False)

    def forward(self, tokens: Float[Tensor, "B S C"], size: tuple[int, int]) -> Float[Tensor, "B S C"]:
        grid = tokens.transpose(1, 2).unflatten(2, size)  # B C h w, channels last in memory
        return self.conv(F.gelu(self.gn(grid))).flatten(2).transpose(1, 2)


class Block(nn.Module):
    """Self-attention, long- and short-term attention side by side, feed-forward.

    `gated` is AOTv2's way of writing: a gate per token on the key, and a linear layer on the identities. Decision: it starts
    as v1 exactly, gate 1 and identity matrix, so that weights of v1 can go on as v2.
    """

    def __init__(
        self, width: int, heads: int, feed_forward: int, groups: int, radius: int, drop_path: float, *, gated: bool
    ) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.self_attn = SelfAttention(width, heads)
        self.linear_q, self.linear_v = nn.Linear(width, width), nn.Linear(width, width)
        self.long_term_attn = LongTermAttention(width, heads)
        self.short_term_attn = ShortTermAttention(width, heads, radius)
        self.linear1, self.linear2 = nn.Linear(width, feed_forward), nn.Linear(feed_forward, width)
        self.activation = MixingGELU(feed_forward, groups)
        self.drop_path = DropPath(drop_path)
        for parameter in self.parameters():
            if parameter.dim() > 1:  # Decision: as in the public code, relative_emb_v too, though it is made of zeros
                nn.init.xavier_uniform_(parameter)
        self.key_gate = nn.Linear(width, 1) if gated else None
        self.linear_id = nn.Linear(width, width) if gated else None
        if self.key_gate is not None and self.linear_id is not None:
            nn.init.zeros_(self.key_gate.weight)
            nn.init.zeros_(self.key_gate.bias)
            nn.init.eye_(self.linear_id.weight)
            nn.init.zeros_(self.linear_id.bias)

    def forward(
        self,
        tokens: Float[Tensor, "B S C"],
        position: Float[Tensor, "S C"],
        size: tuple[int, int],
        long: Parts | None,
        short: Parts | None,
        identity: Float[Tensor, "B S C"] | None,
    ) -> tuple[Float[Tensor, "B S C"], Parts]:
        """The tokens, and what is remembered of them once the mask is known. A reference frame comes with its `identity` and
        is its own memory."""
        tokens = tokens + self.drop_path(self.self_attn(self.norm1(tokens), position))
        normed = self.norm2(tokens)
        query = self.linear_q(normed)
        candidate = [query, normed]
        if identity is not None:
            long = short = self.fuse(candidate, identity)
        assert long is not None
        assert short is not None
        tokens = tokens + self.long_term_attn(query, *long) + self.short_term_attn(query, *short, size)
        mixed = self.activation(self.linear1(self.norm3(tokens)), size)
        return tokens + self.drop_path(self.linear2(mixed)), candidate

    def fuse(self, candidate: Parts, identity: Float[Tensor, "B S C"]) -> Parts:
        """Key and value of a frame with its mask."""
        key, normed = candidate
        if self.key_gate is None or self.linear_id is None:
            return [key, self.linear_v(normed + identity)]
        gate = 1 + torch.tanh(self.key_gate(identity))
        return [key * gate, self.linear_v(normed + self.linear_id(identity))]


class LSTT(nn.Module):
    """The blocks; each one's output goes to the decoder through a LayerNorm of its own."""

    reads_features = True  # the decoder gets the blocks' input too

    def __init__(
        self,
        *,
        width: int,
        blocks: int,
        heads: int,
        feed_forward: int,
        groups: int,
        radius: int,
        drop_path: float,
        gated: bool,
    ) -> None:
        """`feed_forward`: width inside the feed-forward part, whose GroupNorm has `groups`. `radius`: of the short-term window."""
        super().__init__()
        for key, channels, divisor in (("lstt.heads", width, heads), ("lstt.groups", feed_forward, groups)):
            if channels % divisor:
                raise ValueError(f"method.{key}={divisor}: must divide the width {channels}")
        self.width = width
        self.layers = nn.ModuleList(
            Block(width, heads, feed_forward, groups, radius, drop_path, gated=gated) for _ in range(blocks)
        )
        self.decoder_norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(blocks))

    @property
    def decoder_outputs(self) -> int:
        """Channels of all outputs together."""
        return len(self.layers) * self.width

    def forward(
        self,
        tokens: Float[Tensor, "B S C"],
        size: tuple[int, int],
        long: list[Parts] | None,
        short: list[Parts] | None,
        identity: Float[Tensor, "B S C"] | None,
    ) -> tuple[list[Tensor], list[Parts]]:
        """Outputs for the decoder and, of every block, what `fuse` makes memory of. Either both memories are given, or the
        identity embedding of a reference frame."""
        position = sine_cosine_between_borders(size, self.width, device=tokens.device).to(tokens.dtype)
        outputs, candidates = [], []
        for number, block in enumerate(self.layers):
            memories = (None if long is None else long[number], None if short is None else short[number])
            tokens, candidate = block(tokens, position, size, *memories, identity)
            outputs.append(self.decoder_norms[number](tokens))
            candidates.append(candidate)
        return outputs, candidates

    def fuse(self, candidates: list[Parts], identity: Float[Tensor, "B S C"]) -> list[Parts]:
        """Keys and values of a frame with its mask, block by block."""
        return [block.fuse(candidate, identity) for block, candidate in zip(self.layers, candidates, strict=True)]  # type: ignore[operator]
