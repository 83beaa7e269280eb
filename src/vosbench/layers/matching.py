"""Reading a memory of tokens: similarity, affinity, read-out. Pure functions."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor


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


def affinity(
    similarity: Float[Tensor, "B M L"], top_k: int | None = None, valid: Bool[Tensor, "B M"] | None = None
) -> Float[Tensor, "B M L"]:
    """Weight of every memory token for every query token: softmax over the valid tokens, or over the `top_k` most similar of
    them. Columns sum to one; an invalid token weighs 0. Every query needs at least one valid token."""
    score = similarity.transpose(1, 2)
    if valid is not None:
        score = score.masked_fill(~valid[:, None], -torch.inf)
    if top_k is None or top_k >= score.shape[2]:
        return score.softmax(2).transpose(1, 2)
    best, place = score.topk(top_k, dim=2, sorted=False)
    return torch.zeros_like(score).scatter(2, place, best.softmax(2)).transpose(1, 2)


def read_out(weights: Float[Tensor, "B M L"], value: Float[Tensor, "B N Cv M"]) -> Float[Tensor, "B N Cv L"]:
    """Each object's values averaged with the affinity: ``R[n, :, l] = sum_m v[n, :, m] A[m, l]``."""
    batch, objects, width, _ = value.shape
    # Outside autocast a product wants both factors in one type; values keep that of the frame they were written in.
    read = torch.bmm(value.flatten(1, 2), weights.to(value.dtype))
    return read.view(batch, objects, width, -1)
