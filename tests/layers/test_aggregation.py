"""Soft aggregation against the formula written out with plain probabilities."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vosbench.layers.aggregation import aggregate_prompts, logit, soft_aggregate


def test_two_objects_by_hand():
    # given p = 0.8 and 0.4: nobody 0.2 * 0.6 = 0.12; odds 0.12/0.88, 4, 2/3
    logits = logit(torch.tensor([0.8, 0.4]).view(1, 2, 1, 1))
    # when
    prob = soft_aggregate(logits, torch.tensor([[True, True]])).softmax(1).flatten()
    # then
    odds = torch.tensor([0.12 / 0.88, 4.0, 2 / 3])
    torch.testing.assert_close(prob, odds / odds.sum())


@given(seed=st.integers(0, 2**16), objects=st.integers(1, 5))
def test_the_logarithmic_form_equals_the_published_one(seed, objects):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, objects, 3, 4, generator=generator) * 4
    p = logits.double().sigmoid()
    p = torch.cat([(1 - p).prod(1, keepdim=True), p], 1).clamp(1e-7, 1 - 1e-7)
    expected = (p / (1 - p)).log().float()
    torch.testing.assert_close(soft_aggregate(logits, torch.ones(2, objects, dtype=torch.bool)), expected, rtol=1e-4, atol=1e-4)


def test_an_absent_object_changes_no_other_channel():
    logits = torch.randn(1, 3, 4, 4)
    present = torch.tensor([[True, False, True]])
    with_absent = soft_aggregate(logits, present)
    without = soft_aggregate(logits[:, [0, 2]], torch.ones(1, 2, dtype=torch.bool))
    torch.testing.assert_close(with_absent[:, [0, 1, 3]], without)
    assert with_absent.softmax(1)[:, 2].max() < 1e-6


def test_without_objects_all_is_background():
    prob = soft_aggregate(torch.zeros(1, 0, 2, 2), torch.zeros(1, 0, dtype=torch.bool)).softmax(1)
    torch.testing.assert_close(prob, torch.ones(1, 1, 2, 2))
    absent = soft_aggregate(torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, dtype=torch.bool)).softmax(1)
    assert absent[:, 0].min() == 1.0


@pytest.mark.parametrize("value", [-200.0, -20.0, 0.0, 20.0, 200.0])
def test_extreme_logits_give_finite_numbers_and_gradients(value):
    logits = torch.full((1, 2, 1, 1), value, requires_grad=True)
    soft_aggregate(logits, torch.tensor([[True, False]])).sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_a_given_mask_wins_its_pixels_and_the_others_are_aggregated_twice():
    # given two objects of one pixel each, the second of which gets a mask of the first pixel
    logits = torch.tensor([[1.0, 2.0], [0.5, -1.0]]).view(1, 2, 1, 2)
    prob = soft_aggregate(logits, torch.tensor([[True, True]])).softmax(1)
    planes, given = torch.tensor([[9.0, 9.0], [1.0, 0.0]]).view(1, 2, 1, 2), torch.tensor([[False, True]])
    # when
    merged = aggregate_prompts(prob, planes, given)
    # then the first object is nowhere below the mask; beside it p becomes p^2 / (p^2 + (1 - p)^2)
    torch.testing.assert_close(merged[0, :, 0, 0], torch.tensor([0.0, 0.0, 1.0]), rtol=0, atol=1e-6)
    p = prob[0, 1, 0, 1]
    torch.testing.assert_close(merged[0, 1, 0, 1], p**2 / (p**2 + (1 - p) ** 2))


def test_a_clip_to_which_nothing_is_given_keeps_its_probabilities():
    prob = torch.randn(2, 3, 4, 4).softmax(1)
    merged = aggregate_prompts(prob, torch.ones(2, 2, 4, 4), torch.tensor([[True, False], [False, False]]))
    assert torch.equal(merged[1], prob[1])
    assert not torch.equal(merged[0], prob[0])


def test_without_an_object_axis_nothing_is_merged():
    prob = torch.ones(1, 1, 2, 2)
    assert torch.equal(aggregate_prompts(prob, torch.zeros(1, 0, 2, 2), torch.zeros(1, 0, dtype=torch.bool)), prob)
