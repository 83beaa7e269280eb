"""FG-STM, foreground-background space-time memory (paper, section 2.1 and Figure 2; specification 3.13).

Memory frames reuse the backbone's embedding. The mask of an entry splits it into what lies inside and what lies outside, and
each region has keys and values of its own; the current frame reads both.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.methods.cfbi_fgstm.blocks import ConvNorm
from vosbench.methods.cfbi_fgstm.entries import Entries
from vosbench.methods.cfbi_fgstm.fgstm_bank import FGSTMState
from vosbench.methods.cfbi_fgstm.plain_conv import conv, zero_conv

SCHEMES = ("a", "b")


class KeyValue(nn.Module):
    """Two parallel 3x3 convolutions, no normalisation, no activation. Source: STM."""

    def __init__(self, channels: int, key_dim: int, value_dim: int) -> None:
        super().__init__()
        self.key, self.value = conv(3, channels, key_dim), conv(3, channels, value_dim)

    def forward(self, x: Float[Tensor, "P C h w"]) -> tuple[Float[Tensor, "P L Ck"], Float[Tensor, "P L Cv"]]:
        # Positions become rows, as attention reads them.
        return self.key(x).flatten(2).transpose(1, 2), self.value(x).flatten(2).transpose(1, 2)


class Prior(nn.Module):
    """Scheme b: ``sigmoid(w . [embedding, mask] + c)``, which multiplies the embedding in the mask's place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels + 1, 1, 1)
        # Decision: starts near the mask itself, 0.88 inside and 0.12 outside.
        assert self.conv.bias is not None
        nn.init.normal_(self.conv.weight, std=0.01)
        nn.init.constant_(self.conv.weight[:, channels:], 4)
        nn.init.constant_(self.conv.bias, -2)

    def forward(self, embedding: Float[Tensor, "B C h w"], mask: Float[Tensor, "B K h w"]) -> Float[Tensor, "B K h w"]:
        shared = embedding[:, None].expand(-1, mask.shape[1], -1, -1, -1)
        prior = self.conv(torch.cat([shared, mask[:, :, None]], 2).flatten(0, 1)).sigmoid()
        return prior.view_as(mask)


class FGSTM(nn.Module):
    """Writes frames into an `FGSTMState` and reads it. What it adds to the ensembler is zero at first.

    Decision: the read-out joins by addition to the ensembler's input at stride 16, after a convolution of its own. A linear map
    of a concatenation is the same sum, and every published layer keeps its shape.
    """

    def __init__(
        self, *, channels: int, width: int, scheme: str, key_dim: int, value_dim: int, every: int, max_frames: int
    ) -> None:
        """`channels`: C of the embedding. `width`: 2E, of what is added. `scheme`: a multiplies by the mask, b by a prior learnt
        from it. `every`: frames between two that are kept for good. `max_frames`: of those, references included."""
        super().__init__()
        if scheme not in SCHEMES:
            raise ValueError(f"memory.scheme must be a or b, got {scheme!r}; null takes the memory away")
        if key_dim > value_dim:
            raise ValueError(f"memory.key_dim must be at most memory.value_dim={value_dim}, got {key_dim}")
        self.every, self.max_frames = every, max_frames
        self.priors = nn.ModuleList([Prior(channels), Prior(channels)]) if scheme == "b" else None
        self.regions = nn.ModuleList([KeyValue(channels, key_dim, value_dim) for _ in ("inside", "outside")])
        # Decision: the current frame has a pair of its own, as STM separates memory and query.
        self.query = KeyValue(channels, key_dim, value_dim)
        self.join = nn.Sequential(ConvNorm(3, 3 * value_dim, width), nn.ReLU(), zero_conv(1, width, width))

    def start(self, batch: int, entries: int) -> FGSTMState:
        """Nothing written, nothing introduced."""
        return FGSTMState([[-1] * entries for _ in range(batch)])

    def split(
        self, embedding: Float[Tensor, "B C h w"], soft: Float[Tensor, "B K h w"]
    ) -> tuple[Float[Tensor, "B K C h w"], Float[Tensor, "B K C h w"]]:
        """The embedding inside and outside of every entry's mask."""
        inside, outside = soft, 1 - soft
        if self.priors is not None:
            inside, outside = self.priors[0](embedding, inside), self.priors[1](embedding, outside)
        return inside[:, :, None] * embedding[:, None], outside[:, :, None] * embedding[:, None]

    def write(
        self,
        state: FGSTMState,
        embedding: Float[Tensor, "B C h w"],
        soft: Float[Tensor, "B K h w"],
        *,
        frame: int,
        known: Bool[Tensor, "B K"],
        reference: bool,
    ) -> FGSTMState:
        """The state after frame number `frame`, whose soft masks are `soft` (see `soft_masks`).

        `known`: entries that hold something from this frame on, the background included. `reference`: masks were given on this
        frame. In training every frame of a clip is kept.
        """
        batch, entries = soft.shape[:2]
        both = [part(x.flatten(0, 1)) for part, x in zip(self.regions, self.split(embedding, soft), strict=True)]
        key, value = (torch.stack(side, 1).unflatten(0, (batch, entries)) for side in zip(*both, strict=True))
        every = 1 if self.training else self.every
        return state.with_frame(
            key, value, frame=frame, known=known, reference=reference, every=every, max_frames=self.max_frames
        )

    def read(self, embedding: Float[Tensor, "B C h w"], state: FGSTMState, entries: Entries) -> Float[Tensor, "P D h w"]:
        """What to add to the ensembler's input at stride 16, D = 2E channels, for the entries that run."""
        size = (embedding.shape[2], embedding.shape[3])
        key, value = self.query(embedding)
        read = self.read_out(key, state, entries).transpose(2, 3).flatten(1, 2)  # P 2Cv L
        own = value[entries.clips].transpose(1, 2)
        return self.join(torch.cat([read, own], 1).unflatten(2, size))

    def read_out(self, query_key: Float[Tensor, "B L Ck"], state: FGSTMState, entries: Entries) -> Float[Tensor, "P 2 L Cv"]:
        """``r_z(j) = sum_i softmax_i(k_i . q_j / sqrt(Ck)) v_i`` per entry and region z, over all positions i of all frames that
        the entry may read; zero for an entry that is not introduced. Where the mask is empty the embedding is zero and the key
        the convolution's bias: such positions stay in the softmax as a learnt "no match"."""
        pairs = zip(entries.clips, entries.numbers, strict=True)
        return torch.stack([self._read_entry(query_key[clip], state, clip, number) for clip, number in pairs])

    def _read_entry(self, query_key: Float[Tensor, "L Ck"], state: FGSTMState, clip: int, entry: int) -> Float[Tensor, "2 L Cv"]:
        """One entry at a time: what is put together for its attention is a K-th of what the memory holds."""
        places = state.readable(clip, entry)
        query = query_key.expand(2, -1, -1)
        if not places:
            return query.new_zeros(2, query.shape[1], self.query.value.out_channels)
        # Frames may have been written in another precision (autocast) than the one they are read in.
        key = torch.cat([state.keys[place][clip, entry] for place in places], 1).to(query.dtype)
        value = torch.cat([state.values[place][clip, entry] for place in places], 1).to(query.dtype)
        # Zeros change no product, and the kernels that never hold all scores at once (softmax in float32) want one width.
        wider = (0, value.shape[2] - key.shape[2])
        scale = 1 / math.sqrt(key.shape[2])
        return F.scaled_dot_product_attention(F.pad(query, wider)[None], F.pad(key, wider)[None], value[None], scale=scale)[0]
