"""Reading a memory of tokens: similarity, affinity, read-out. Pure functions."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F


def anisotropic_similarity(
    memory_key: Float[Tensor, "B Ck M"],
    query_key: Float[Tensor, "B Ck L"],
    shrinkage: Float[Tensor, "B 1 M"] | None = None,
    selection: Float[Tensor, "B Ck L"] | None = None,
) -> Float[Tensor, "B M L"]:
    """``sim[m, l] = -s_m / sqrt(Ck) * sum_c e_cl (k_cm - q_cl)^2``; None leaves s or e at one.

    Source: XMem, Eq. 2, in its expanded form ``-(k^2)^T e + 2 k^T (q e) - sum_c e q^2``, which is one matrix product.
    """
    # float32, autocast off: the expanded form subtracts large numbers of nearly equal size.
    with torch.autocast(query_key.device.type, enabled=False):
        key, query = memory_key.float(), query_key.float()
        weight = torch.ones_like(query) if selection is None else selection.float()
        weighted = query * weight
        left = torch.cat([weight, weighted], 1).transpose(1, 2)  # B L 2Ck
        score = torch.bmm(left, torch.cat([-key.square(), 2 * key], 1)) - (weighted * query).sum(1)[:, :, None]
        scale = 1 / math.sqrt(key.shape[1])
        score = score * scale if shrinkage is None else score * (shrinkage.float() * scale)
        return score.transpose(1, 2)  # a view: memory stays the fastest axis, which softmax and top-k run along


def affinity(similarity: Float[Tensor, "B M L"], valid: Bool[Tensor, "B M"] | None = None) -> Float[Tensor, "B M L"]:
    """Weight of every memory token for every query token: softmax over the valid tokens. Columns sum to one; an invalid token
    weighs 0. Every query needs at least one valid token."""
    return _rows(similarity, valid).softmax(2).transpose(1, 2)


def read_out(weights: Float[Tensor, "B M L"], value: Float[Tensor, "B N Cv M"]) -> Float[Tensor, "B N Cv L"]:
    """Each object's values averaged with the affinity: ``R[n, :, l] = sum_m v[n, :, m] A[m, l]``."""
    batch, objects, width, _ = value.shape
    # Outside autocast a product wants both factors in one type; values keep that of the frame they were written in.
    read = torch.bmm(value.flatten(1, 2), weights.to(value.dtype))
    return read.view(batch, objects, width, -1)


def read_most_similar(
    similarity: Float[Tensor, "B M L"],
    value: Float[Tensor, "B N Cv M"],
    top_k: int,
    valid: Bool[Tensor, "B M"] | None = None,
) -> tuple[Float[Tensor, "B N Cv L"], Float[Tensor, "B M"]]:
    """Read-out over the `top_k` <= M most similar valid tokens of each query, and the weight each token received from all.

    Only tokens that weigh something are looked at, so that the cost hardly grows with the memory. Source: STCN, section 3.4.
    """
    best, place = _rows(similarity, valid).topk(top_k, dim=2, sorted=False)
    weights = best.softmax(2)
    batch, objects, width, tokens = value.shape
    usage = weights.new_zeros(batch, tokens).scatter_add(1, place.flatten(1), weights.flatten(1))
    row = place + torch.arange(batch, device=place.device)[:, None, None] * tokens
    table = value.flatten(1, 2).transpose(1, 2).reshape(batch * tokens, objects * width)
    read = F.embedding_bag(row.view(-1, top_k), table, per_sample_weights=weights.to(value.dtype).view(-1, top_k), mode="sum")
    return read.view(batch, -1, objects, width).permute(0, 2, 3, 1), usage


def _rows(similarity: Float[Tensor, "B M L"], valid: Bool[Tensor, "B M"] | None) -> Float[Tensor, "B L M"]:
    score = similarity.transpose(1, 2)
    return score if valid is None else score.masked_fill(~valid[:, None], -torch.inf)
