"""The memory read against its dense form and plain loops."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vosbench.layers import memory_read
from vosbench.layers.matching import affinity, anisotropic_similarity, read_out
from vosbench.layers.memory_read import read_memory


def made(groups: int, shared: int, *, tokens: int = 9, lines: int = 6, batch: int = 2, seed: int = 0) -> tuple[Tensor, ...]:
    """Query, key and value."""
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(batch, lines, 4, generator=generator)
    key = torch.randn(batch, groups, tokens, 4, generator=generator)
    return query, key, torch.randn(batch, groups, tokens, shared, 3, generator=generator)


def by_hand(query: Tensor, key: Tensor, value: Tensor, similarity: str, top_k: int | None, valid: Tensor | None) -> Tensor:
    """The dense functions of `matching`, object by object, with all but the best scores struck out."""
    _batch, groups, _tokens, shared, _ = value.shape
    reads = []
    for group in range(groups):
        memory_key, query_key = key[:, group].transpose(1, 2), query.transpose(1, 2)
        if similarity == "l2":
            score = anisotropic_similarity(memory_key, query_key)
        else:
            score = torch.einsum("bcm,bcl->bml", memory_key, query_key) / math.sqrt(key.shape[3])
        for member in range(shared):
            own = torch.ones_like(score[:, :, 0]) if valid is None else valid[:, group * shared + member]
            left = score.masked_fill(~own.bool()[:, :, None], -torch.inf)
            least = left.topk(min(top_k or len(own[0]), len(own[0])), dim=1).values[:, -1:]
            weights = affinity(left.masked_fill(left < least, -torch.inf))
            reads.append(read_out(weights, value[:, group, :, member].transpose(1, 2)[:, None])[:, 0].transpose(1, 2))
    return torch.stack(reads, 1)


@given(
    seed=st.integers(0, 2**16),
    form=st.sampled_from([(1, 1), (1, 3), (3, 1), (2, 2)]),
    similarity=st.sampled_from(["dot", "l2"]),
    top_k=st.sampled_from([None, 1, 4, 9, 50]),
    masked=st.booleans(),
)
def test_every_form_equals_the_dense_read(seed, form, similarity, top_k, masked):
    query, key, value = made(*form, seed=seed)
    valid = None
    if masked:
        valid = torch.rand(2, form[0] * form[1], 9, generator=torch.Generator().manual_seed(seed)) < 0.5
        valid[:, :, 4] = True
    read = read_memory(query, key, value, similarity=similarity, top_k=top_k, valid=valid)
    torch.testing.assert_close(read, by_hand(query, key, value, similarity, top_k, valid), rtol=1e-4, atol=1e-5)


def test_the_best_position_alone_gives_its_own_value():
    query, key, value = made(1, 1, batch=1)
    best = (query[0] @ key[0, 0].T).argmax(1)
    read = read_memory(query, key, value, similarity="dot", top_k=1)
    torch.testing.assert_close(read[0, 0], value[0, 0, best, 0])


@pytest.mark.parametrize("sigma", [None, 0.7])
@pytest.mark.parametrize("masked", [False, True])
def test_slices_of_the_queries_change_nothing(monkeypatch, sigma, masked):
    query, key, value = made(2, 2)
    valid = torch.ones(2, 4, 9, dtype=torch.bool) if masked else None
    options = {"similarity": "l2", "top_k": 4, "kernel_sigma": sigma, "size": (2, 3), "valid": valid}
    at_once = read_memory(query, key, value, **options)
    monkeypatch.setattr(memory_read, "SCORES", 100)
    torch.testing.assert_close(read_memory(query, key, value, **options), at_once)


@pytest.mark.parametrize("similarity", ["dot", "l2"])
def test_a_token_counts_less_far_from_the_query_that_is_nearest_to_it(similarity):
    # given a grid of 2 x 3 queries
    query, key, value = made(1, 1, batch=1)
    score = torch.zeros(6, 9, dtype=torch.double)
    for i in range(6):
        for p in range(9):
            distance = float((query[0, i] - key[0, 0, p]).square().sum())
            score[i, p] = (float(query[0, i] @ key[0, 0, p]) if similarity == "dot" else -distance) / 2
    # when weights are worked out by plain loops: over the queries the whole similarity counts
    weights = torch.zeros(6, 9, dtype=torch.double)
    for p in range(9):
        nearest = int(score[:, p].argmax())
        for i in range(6):
            squared = (i // 3 - nearest // 3) ** 2 + (i % 3 - nearest % 3) ** 2
            weights[i, p] = math.exp(float(score[i, p])) * math.exp(-squared / (2 * 0.8**2))
    kept = weights.topk(4, dim=1)
    weights = torch.zeros_like(weights).scatter(1, kept.indices, kept.values)
    expected = (weights / weights.sum(1, keepdim=True)) @ value[0, 0, :, 0].double()
    # then the read is the same
    read = read_memory(query, key, value, similarity=similarity, top_k=4, kernel_sigma=0.8, size=(2, 3))
    torch.testing.assert_close(read[0, 0].double(), expected, rtol=1e-4, atol=1e-5)


def test_large_scores_stay_finite():
    query, key, value = made(1, 2)
    assert torch.isfinite(read_memory(query * 1e3, key * 1e3, value, similarity="l2", top_k=3)).all()


def test_scores_are_in_float32_under_autocast():
    query, key, value = made(1, 1)
    plain = read_memory(query, key, value, similarity="dot", top_k=None)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = read_memory(query, key, value, similarity="dot", top_k=None)
    assert torch.equal(plain, mixed)


def test_both_reads_give_gradients_to_queries_keys_and_values():
    for top_k in (None, 3):
        tensors = [tensor.requires_grad_() for tensor in made(1, 2)]
        read_memory(*tensors, similarity="l2", top_k=top_k).square().sum().backward()
        assert all(tensor.grad is not None and bool(tensor.grad.any()) for tensor in tensors)


def test_an_unknown_similarity_is_named():
    with pytest.raises(ValueError, match="similarity=cosine"):
        read_memory(*made(1, 1), similarity="cosine", top_k=None)
