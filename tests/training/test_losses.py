"""The loss against its formula, by hand."""

import math

import pytest
import torch

from vosbench.layers.mask_losses import dice_loss, hardest_cross_entropy, only_present
from vosbench.methods.method import Prediction, Step
from vosbench.training.losses import BootstrappedDice
from vosbench.training.schedules import OneCycle, PolyDecay, StepDecay
from vosbench.video.clip import Clip


@pytest.mark.parametrize(("iteration", "share"), [(0, 1.0), (20_000, 1.0), (45_000, 0.575), (70_000, 0.15), (80_000, 0.15)])
def test_the_share_of_pixels_falls_linearly(iteration, share):
    loss = BootstrappedDice(20_000, 70_000, 0.15, 0.5, 0.5, 1)
    assert loss.share(iteration) == pytest.approx(share)


def test_half_of_the_pixels_are_the_harder_half():
    # Four pixels whose right class has probability 1/2, 1/2, 1/4 and 1/8.
    logits = torch.tensor([[0.0, 0.0, math.log(3), math.log(7)], [0.0, 0.0, 0.0, 0.0]]).reshape(1, 2, 2, 2)
    label_map = torch.ones(1, 2, 2, dtype=torch.int64)
    assert hardest_cross_entropy(logits, label_map, 0.5).item() == pytest.approx((math.log(4) + math.log(8)) / 2)
    assert hardest_cross_entropy(logits, label_map, 1.0).item() == pytest.approx(
        (2 * math.log(2) + math.log(4) + math.log(8)) / 4
    )


def test_ignored_pixels_count_neither_above_nor_below_the_line():
    logits = torch.tensor([[0.0, 9.0], [0.0, -9.0]]).reshape(1, 2, 1, 2)
    label_map = torch.tensor([[[1, 255]]])
    assert hardest_cross_entropy(logits, label_map, 1.0).item() == pytest.approx(math.log(2))
    assert hardest_cross_entropy(logits, label_map, 0.5).item() == pytest.approx(math.log(2))


def test_dice_is_a_mean_over_real_objects_only():
    masks = torch.zeros(1, 2, 1, 4)
    masks[0, 0, 0, :2] = 1
    prob = torch.zeros(1, 2, 1, 4)
    prob[0, 0, 0, 0] = 1  # one of two pixels: 1 - (2 + 1) / (1 + 2 + 1)
    prob[0, 1] = 1  # a channel without object, as wrong as can be
    valid = torch.ones(1, 1, 4, dtype=torch.bool)
    assert dice_loss(prob, masks, torch.tensor([[True, False]]), valid).item() == pytest.approx(0.25)


def test_a_channel_without_object_cannot_win():
    logits = only_present(torch.tensor([0.0, 1.0, 50.0]).reshape(1, 3, 1, 1), torch.tensor([[True, False]]))
    prob = logits.softmax(1).flatten()
    assert prob[2] == 0
    assert prob[1].item() == pytest.approx(1 / (1 + math.exp(-1)))


def test_the_first_frame_teaches_nothing():
    label_map = torch.zeros(1, 3, 2, 2, dtype=torch.int64)
    clip = Clip(torch.zeros(1, 3, 3, 2, 2), label_map, torch.ones(1, 1, dtype=torch.bool), ["s"], [["0", "1", "2"]])
    logits = [torch.zeros(1, 2, 2, 2, requires_grad=True) for _ in range(3)]
    steps = [Step(Prediction(item), item, item.softmax(1), None) for item in logits]
    terms = BootstrappedDice(0, 0, 0.5, 0.5, 0.5, 1)(steps, clip, 10)
    sum(terms.values()).backward()
    assert logits[0].grad is None
    assert logits[1].grad is not None
    assert terms["ce"].item() == pytest.approx(0.5 * math.log(2))


def test_the_rate_falls_at_its_milestones_after_a_warm_up():
    schedule = StepDecay([100, 200], 0.1, 4)
    assert [schedule(k) for k in (0, 1, 3, 50)] == [0.25, 0.5, 1.0, 1.0]
    assert schedule(99) == 1.0
    assert schedule(100) == pytest.approx(0.1)
    assert schedule(200) == pytest.approx(0.01)


def test_a_poly_schedule_rises_falls_and_never_leaves_its_floor():
    # AOT: base 4e-4, floor 2e-5, 100 steps, 5 of warm-up; an encoder's share is a tenth of what lies above the floor.
    schedule = PolyDecay(100, 0.9, 5, 0.05)
    assert 4e-4 * schedule(4) == pytest.approx(4e-4)
    assert 4e-4 * schedule(52) == pytest.approx(2e-5 + 3.8e-4 * (1 - 47 / 96) ** 0.9)
    assert 4e-4 * schedule(52, 0.1) == pytest.approx(2e-5 + 3.8e-5 * (1 - 47 / 96) ** 0.9)
    assert schedule(1000) == pytest.approx(0.05)
    assert all(schedule(k) > schedule(k + 1) for k in range(5, 99))


def test_one_cycle_starts_low_peaks_at_one_and_ends_lower():
    schedule = OneCycle(100, 0.3, 0.04, 0.001)
    assert schedule(0) == pytest.approx(0.04)
    assert schedule(30) == pytest.approx(1.0)
    assert schedule(65) == pytest.approx((1 + 0.001) / 2)
    assert schedule(100) == pytest.approx(0.001)


def test_the_loss_may_begin_later_than_frame_one_and_leave_out_dice():
    label_map = torch.zeros(1, 3, 2, 2, dtype=torch.int64)
    clip = Clip(torch.zeros(1, 3, 3, 2, 2), label_map, torch.ones(1, 1, dtype=torch.bool), ["s"], [["0", "1", "2"]])
    logits = [torch.zeros(1, 2, 2, 2, requires_grad=True) for _ in range(3)]
    steps = [Step(Prediction(item), item, item.softmax(1), None) for item in logits]
    terms = BootstrappedDice(0, 0, 0.5, 1.0, 0.0, 2)(steps, clip, 10)
    sum(terms.values()).backward()
    assert list(terms) == ["ce"]
    assert [item.grad is not None for item in logits] == [False, False, True]
