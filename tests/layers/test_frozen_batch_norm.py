"""Batch norms as constants."""

import copy

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from vosbench.layers.frozen_batch_norm import FrozenBatchNorm, freeze_batch_norms


def network() -> nn.Sequential:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Conv2d(4, 5, 1), BatchNormAct2d(5)))
    for tensor in made.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    return made


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("grad", [True, False])
def test_a_frozen_network_computes_what_it_did_in_eval_mode_also_in_training(in_place, grad):
    # given
    before = network().eval()
    after = copy.deepcopy(before).train()
    image = torch.randn(2, 3, 8, 9)
    # when
    freeze_batch_norms(after, trained=True, in_place=in_place)
    # then
    kept = image.clone()
    with torch.set_grad_enabled(grad):
        torch.testing.assert_close(after(image), before(image))
    assert torch.equal(image, kept)
    counts = {key for key in before.state_dict() if key.endswith("num_batches_tracked")}
    assert set(after.state_dict()) == set(before.state_dict()) - counts
    assert {name for name, _ in after.named_parameters()} == {"0.weight", "0.bias", "2.0.weight", "2.0.bias"}


def test_only_a_norm_that_may_overwrites_its_input_and_never_with_gradients():
    norm = nn.BatchNorm2d(3).eval()
    nn.init.constant_(norm.bias, 2.0)
    for in_place, grad, changed in ((True, False, True), (True, True, False), (False, False, False)):
        x = torch.randn(1, 3, 4, 4)
        kept = x.clone()
        with torch.set_grad_enabled(grad):
            FrozenBatchNorm(norm, in_place=in_place)(x)
        assert torch.equal(x, kept) is not changed


@pytest.mark.parametrize(("trained", "gain"), [(True, 0.0), (False, 1.0)])
def test_a_gain_of_zero_stays_where_it_was_trained_and_is_one_in_a_random_network(trained, gain):
    made = network()
    nn.init.zeros_(made[1].weight)
    freeze_batch_norms(made, trained=trained, in_place=False)
    assert bool((made[1].weight == gain).all())
