"""Similarity, affinity and read-out against plain loops."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from vosbench.layers.matching import affinity, anisotropic_similarity, read_most_similar, read_out


def test_similarity_is_the_weighted_squared_distance():
    generator = torch.Generator().manual_seed(0)
    key, query = torch.randn(2, 3, 5, generator=generator), torch.randn(2, 3, 4, generator=generator)
    shrinkage, selection = torch.rand(2, 1, 5, generator=generator) + 1, torch.rand(2, 3, 4, generator=generator)
    expected = torch.zeros(2, 5, 4)
    for b in range(2):
        for i in range(5):
            for j in range(4):
                distance = sum(float(selection[b, c, j]) * float(key[b, c, i] - query[b, c, j]) ** 2 for c in range(3))
                expected[b, i, j] = -float(shrinkage[b, 0, i]) / math.sqrt(3) * distance
    torch.testing.assert_close(anisotropic_similarity(key, query, shrinkage, selection), expected, rtol=1e-5, atol=1e-5)


def test_plain_similarity_is_the_squared_distance():
    key, query = torch.tensor([[[0.0, 3.0]]]), torch.tensor([[[1.0]]])
    torch.testing.assert_close(anisotropic_similarity(key, query), torch.tensor([[[-1.0], [-4.0]]]))


@given(seed=st.integers(0, 2**16))
def test_columns_of_the_affinity_sum_to_one_over_the_valid_elements(seed):
    generator = torch.Generator().manual_seed(seed)
    valid = torch.rand(2, 9, generator=generator) < 0.5
    valid[:, 4] = True
    weights = affinity(torch.randn(2, 9, 6, generator=generator) * 100, valid)
    torch.testing.assert_close(weights.sum(1), torch.ones(2, 6))
    assert float(weights.masked_fill(valid[:, :, None], 0.0).abs().sum()) == 0


def test_top_k_keeps_the_most_similar_by_hand():
    # given similarities ln 1, ln 2, ln 3 and the two best: weights 2/5, 3/5
    similarity = torch.tensor([1.0, 2.0, 3.0]).log().view(1, 3, 1)
    read, usage = read_most_similar(similarity, torch.tensor([[[[100.0, 10.0, 1.0]]]]), 2)
    torch.testing.assert_close(read.flatten(), torch.tensor([4.6]))
    torch.testing.assert_close(usage, torch.tensor([[0.0, 0.4, 0.6]]))


@given(seed=st.integers(0, 2**16), top_k=st.integers(1, 9))
def test_the_most_similar_valid_elements_are_read(seed, top_k):
    generator = torch.Generator().manual_seed(seed)
    similarity, value = torch.randn(2, 9, 6, generator=generator), torch.randn(2, 3, 4, 9, generator=generator)
    valid = torch.rand(2, 9, generator=generator) < 0.5
    valid[:, 4] = True
    read, usage = read_most_similar(similarity, value, top_k, valid)
    received = torch.zeros(2, 9)
    for b in range(2):
        for query in range(6):
            open_to = [m for m in range(9) if valid[b, m]]
            chosen = sorted(open_to, key=lambda m, b=b, query=query: -float(similarity[b, m, query]))[:top_k]
            weight = similarity[b, chosen, query].softmax(0)
            received[b, chosen] += weight
            torch.testing.assert_close(read[b, :, :, query], value[b][:, :, chosen] @ weight, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(usage, received, rtol=1e-4, atol=1e-5)


def test_similarity_and_affinity_are_in_float32_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        similarity = anisotropic_similarity(torch.randn(1, 4, 3).bfloat16(), torch.randn(1, 4, 2).bfloat16())
    assert similarity.dtype == torch.float32


@given(objects=st.integers(2, 5), seed=st.integers(0, 2**16))
def test_read_out_follows_the_order_of_the_objects(objects, seed):
    generator = torch.Generator().manual_seed(seed)
    weights, value = torch.rand(1, 4, 3, generator=generator), torch.rand(1, objects, 2, 4, generator=generator)
    order = torch.randperm(objects, generator=generator)
    torch.testing.assert_close(read_out(weights, value[:, order]), read_out(weights, value)[:, order])


def test_read_out_averages_values_with_the_weights():
    weights = torch.tensor([[[0.25], [0.75]]])
    value = torch.tensor([[[[4.0, 8.0]], [[0.0, 4.0]]]])
    torch.testing.assert_close(read_out(weights, value), torch.tensor([[[[7.0]], [[3.0]]]]))
