"""Bidirectional channel aggregation, BCA (equations 7 to 9; specification 3.5), and the heads it joins (3.2)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class KeyValueHead(nn.Module):
    """Key and value of a feature map, 1x1 convolutions. `key_dim` None: values alone, where nothing is matched."""

    def __init__(self, channels: int, key_dim: int | None, value_dim: int) -> None:
        super().__init__()
        self.key = None if key_dim is None else nn.Conv2d(channels, key_dim, 1)
        self.value = nn.Conv2d(channels, value_dim, 1)

    def forward(self, x: Float[Tensor, "M C h w"]) -> tuple[Float[Tensor, "M Ck h w"] | None, Float[Tensor, "M Cv h w"]]:
        return None if self.key is None else self.key(x), self.value(x)


class ChannelAggregation(nn.Module):
    """Query value and memory read-out gate each other's channels, then stand side by side, the query's half first.

    ``[w_q, w_m] = sigmoid(W2 relu(W1 [g(V_q), g(V_m)]))`` with global average pooling g, ``F_a = [w_q V_q, w_m V_m]``.
    """

    def __init__(self, value_dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(2 * value_dim, hidden)
        self.fc2 = nn.Linear(hidden, 2 * value_dim)

    def gates(self, joined: Float[Tensor, "M Ca h w"]) -> Float[Tensor, "M Ca"]:
        """Weights of all channels, between 0 and 1."""
        return self.fc2(torch.relu(self.fc1(joined.mean((2, 3))))).sigmoid()

    def forward(self, query_value: Float[Tensor, "M Cv h w"], read: Float[Tensor, "M Cv h w"]) -> Float[Tensor, "M Ca h w"]:
        joined = torch.cat([query_value, read], 1)
        return joined * self.gates(joined)[:, :, None, None]


class PlainAggregation(nn.Module):
    """Ablation "w/o BCA": side by side, without gates."""

    def forward(self, query_value: Float[Tensor, "M Cv h w"], read: Float[Tensor, "M Cv h w"]) -> Float[Tensor, "M Ca h w"]:
        return torch.cat([query_value, read], 1)
