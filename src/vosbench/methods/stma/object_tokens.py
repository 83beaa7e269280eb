"""Object tokens F_o: one vector per object, from its anchor and from all its values in memory (Eq. 5; specification 3.7)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vosbench.layers.conv_blocks import conv3x3


class ObjectTokens(nn.Module):
    """``LN(W_v p + W_s a) + e``: p the largest value over the memory, a the anchor of the registration frame."""

    def __init__(self, *, value_dim: int, anchor_dim: int, dim: int) -> None:
        super().__init__()
        self.update = conv3x3(value_dim, anchor_dim)
        self.candidate = conv3x3(value_dim, anchor_dim)
        self.value_proj = nn.Linear(value_dim, dim)
        self.anchor_proj = nn.Linear(anchor_dim, dim)
        self.norm = nn.LayerNorm(dim)
        # One vector for all objects: one per channel would make the result depend on the order of the objects.
        self.embedding = nn.Parameter(torch.empty(dim))
        nn.init.trunc_normal_(self.embedding, std=0.02)
        for linear in (self.value_proj, self.anchor_proj):
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def anchor(self, value: Float[Tensor, "P Cv h w"]) -> Float[Tensor, "P Cs"]:
        """Taken once, from the value of the frame where the object was registered: a gated unit's step from a zero state."""
        return (self.update(value).sigmoid() * self.candidate(value).tanh()).amax((2, 3))

    def forward(self, pooled: Float[Tensor, "B N Cv"], anchor: Float[Tensor, "B N Cs"]) -> Float[Tensor, "B N C"]:
        return self.norm(self.value_proj(pooled) + self.anchor_proj(anchor)) + self.embedding


def pooled_value(value: Float[Tensor, "B N Cv M"], valid: Bool[Tensor, "B N M"] | None) -> Float[Tensor, "B N Cv"]:
    """Largest value over an object's valid elements, 0 where it has none; `valid` None: all elements of all objects count."""
    if valid is None:
        return value.amax(3)
    largest = value.masked_fill(~valid[:, :, None], -torch.inf).amax(3)
    return torch.where(valid.any(2)[:, :, None], largest, 0.0)
