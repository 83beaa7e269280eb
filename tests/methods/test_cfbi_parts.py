"""The add-ons of CAMN alone: what each costs, that it starts as nothing, and what it computes once it is trained."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vosbench.methods.cfbi_fgstm.bottom_up_path import BottomUpPath
from vosbench.methods.cfbi_fgstm.feature_pyramid_attention import FeaturePyramidAttention
from vosbench.methods.cfbi_fgstm.fusion_net import FusionNet, fusion_loss
from vosbench.methods.cfbi_fgstm.object_context import ObjectContext


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def stirred(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module with every parameter a random number, the last layers that start at zero included."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            fan_in = parameter[0].numel() if parameter.dim() > 1 else 10
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * fan_in**-0.5)
    return module


def prob(members: int, entries: int, size: tuple[int, int] = (9, 11), seed: int = 0) -> torch.Tensor:
    """Probabilities of each member over the entries, one clip."""
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(1, members, entries, *size, generator=generator)).softmax(2)


def frame_of(maps: torch.Tensor) -> torch.Tensor:
    """An image of the maps' size."""
    return torch.rand(1, 3, *maps.shape[-2:], generator=torch.Generator().manual_seed(3))


# Differences between the rows of the specification's table in section 4.
@pytest.mark.parametrize(
    ("module", "count"),
    [
        (lambda: BottomUpPath(256), 76_424_436 - 74_063_604),
        (lambda: BottomUpPath(48), 1_183_872 - 1_100_640),
        (lambda: FeaturePyramidAttention(512, 64), 79_331_828 - 76_424_436),
        (lambda: FeaturePyramidAttention(96, 12), 1_286_592 - 1_183_872),
        (lambda: ObjectContext(256), 79_430_772 - 79_331_828),
        (lambda: ObjectContext(48), 1_290_168 - 1_286_592),
        (lambda: FusionNet(3, 32), 22_500),
        (lambda: FusionNet(3, 16), 6_644),
    ],
)
def test_an_add_on_has_as_many_parameters_as_the_specification_says(module, count):
    with torch.device("meta"):
        assert parameters(module()) == count


def test_fresh_object_context_changes_nothing():
    a = torch.randn(2, 16, 5, 7)
    assert torch.equal(ObjectContext(16)(a), a)


def test_a_fresh_bottom_up_path_changes_nothing():
    maps = torch.randn(2, 16, 25, 17), torch.randn(2, 16, 13, 9), torch.randn(2, 16, 7, 5)
    for before, after in zip(maps, BottomUpPath(16)(*maps), strict=True):
        assert torch.equal(before, after)


def test_fresh_feature_pyramid_attention_changes_nothing():
    x = torch.randn(3, 24, 9, 11)
    assert torch.equal(FeaturePyramidAttention(24, 6)(x), x)


def test_object_context_is_attention_of_every_position_over_all():
    module = stirred(ObjectContext(8)).eval()
    a = torch.randn(1, 8, 3, 4)

    key, value = module.key(a).relu().flatten(2)[0], module.value(a).flatten(2)[0]
    weights = [((key[:, i] @ key) / math.sqrt(4)).softmax(0) for i in range(12)]
    context = torch.stack([value @ weight for weight in weights], 1).view(1, 4, 3, 4)

    torch.testing.assert_close(module(a), a + module.mix(context))


def test_object_context_does_not_know_where_a_position_lies():
    module = stirred(ObjectContext(8)).eval()
    a = torch.randn(1, 8, 3, 4)
    torch.testing.assert_close(module(a.flip(3)).flip(3), module(a))


def test_the_bottom_up_path_carries_fine_detail_to_the_coarsest_map():
    path = stirred(BottomUpPath(8))
    p4, p8, p16 = torch.randn(1, 8, 25, 25), torch.randn(1, 8, 13, 13), torch.randn(1, 8, 7, 7)
    before = path(p4, p8, p16)

    after = path(p4 + 1, p8, p16)

    assert not torch.equal(after[1], before[1])
    assert not torch.equal(after[2], before[2])


def test_the_bottom_up_path_leaves_the_finest_map_alone():
    p4 = torch.randn(1, 8, 25, 25)
    assert stirred(BottomUpPath(8))(p4, torch.randn(1, 8, 13, 13), torch.randn(1, 8, 7, 7))[0] is p4


@pytest.mark.parametrize("size", [(7, 7), (7, 9), (30, 30), (1, 1), (2, 3)])
def test_the_pyramid_takes_any_size_down_to_one_position(size):
    """97 px are 7 positions, whose pyramid is 4, 2 and 1."""
    module = stirred(FeaturePyramidAttention(96, 12)).train()
    out = module(torch.randn(2, 96, *size))
    assert out.shape == (2, 96, *size)
    assert out.isfinite().all()


def test_the_pyramid_treats_every_entry_alone():
    module, x = stirred(FeaturePyramidAttention(24, 6)), torch.randn(3, 24, 9, 9)
    torch.testing.assert_close(module(x)[1:2], module(x[1:2]))


def test_every_parameter_of_the_add_ons_learns():
    modules = {
        ObjectContext(16): (torch.randn(1, 16, 5, 5),),
        BottomUpPath(16): (torch.randn(1, 16, 9, 9), torch.randn(1, 16, 5, 5), torch.randn(1, 16, 3, 3)),
        FeaturePyramidAttention(24, 6): (torch.randn(2, 24, 9, 9),),
    }
    for module, inputs in modules.items():
        out = stirred(module)(*inputs)
        sum(part.square().sum() for part in (out if isinstance(out, tuple) else (out,))).backward()
        dead = [name for name, p in module.named_parameters() if p.grad is None or not p.grad.abs().any()]
        assert dead == [], type(module).__name__


@pytest.mark.parametrize("members", [1, 3])
def test_a_fresh_ensemble_of_one_model_gives_that_models_probabilities(members):
    one = prob(1, 4)
    out = FusionNet(members, 16)(one.expand(-1, members, -1, -1, -1), one[:, 0], frame_of(one))
    torch.testing.assert_close(out.softmax(1), one[:, 0], rtol=0, atol=1e-5)


def test_a_fresh_ensemble_is_the_geometric_mean_in_any_order_of_the_members():
    net, maps = FusionNet(3, 16), prob(3, 4)
    mean = maps.log().mean(1).exp()

    fused = net(maps, maps[:, 0], frame_of(maps)).softmax(1)
    other_order = net(maps[:, [2, 0, 1]], maps[:, 0], frame_of(maps)).softmax(1)

    torch.testing.assert_close(fused, mean / mean.sum(1, keepdim=True), rtol=0, atol=1e-5)
    torch.testing.assert_close(fused, other_order, rtol=0, atol=1e-6)


def test_a_trained_ensemble_follows_the_order_of_the_objects():
    net, maps, order = stirred(FusionNet(2, 16)), prob(2, 4), [0, 3, 1, 2]
    straight = net(maps, maps[:, 1], frame_of(maps))
    permuted = net(maps[:, :, order], maps[:, 1, order], frame_of(maps))
    torch.testing.assert_close(permuted, straight[:, order], rtol=0, atol=1e-5)


def test_an_entry_sees_the_best_of_the_others():
    """The same map of an entry, but another one beside it."""
    net = stirred(FusionNet(1, 8))
    maps = torch.tensor([0.5, 0.3, 0.2]).view(1, 1, 3, 1, 1).expand(1, 1, 3, 6, 6).contiguous()
    changed = torch.tensor([0.5, 0.5, 0.0]).view(1, 1, 3, 1, 1).expand(1, 1, 3, 6, 6).contiguous()
    image = frame_of(maps)
    before, after = net(maps, maps[:, 0], image), net(changed, maps[:, 0], image)
    assert not torch.allclose(before[:, 0], after[:, 0])


def test_an_ensemble_with_nothing_but_background_is_finite():
    nothing = torch.ones(1, 2, 1, 6, 6)
    assert FusionNet(2, 8)(nothing, nothing[:, 0], frame_of(nothing)).isfinite().all()


def test_probabilities_of_zero_and_one_stay_finite_and_learn():
    net = FusionNet(2, 8)
    maps = torch.zeros(1, 2, 3, 6, 6)
    maps[:, :, 1] = 1
    label_map = torch.ones(1, 24, 24, dtype=torch.long)
    label_map[:, :4] = 255

    loss = fusion_loss(net(maps, maps[:, 0], frame_of(maps)), label_map)
    loss.backward()

    assert loss.item() == pytest.approx(0, abs=1e-5)
    assert net.out.bias.grad.isfinite().all()


def test_the_ensemble_learns_which_member_to_trust():
    torch.manual_seed(0)
    truth = (torch.rand(1, 8, 8) > 0.5).long()
    good = F.one_hot(truth, 2).permute(0, 3, 1, 2) * 0.8 + 0.1
    maps = torch.stack([1 - good, good], 1)
    net = FusionNet(2, 8)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        losses.append(fusion_loss(net(maps, good, frame_of(maps)), truth))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[0].item() == pytest.approx(math.log(2), abs=1e-3)
    assert losses[-1] < 0.2


@pytest.mark.parametrize(
    ("members", "width", "words"), [(0, 32, "ensemble.members must name at least one"), (3, 20, "a multiple of 8")]
)
def test_an_ensemble_that_cannot_be_built_is_refused(members, width, words):
    with pytest.raises(ValueError, match=words):
        FusionNet(members, width)


def test_another_number_of_members_is_refused():
    with pytest.raises(ValueError, match="must hold the 3 members"):
        FusionNet(3, 16)(prob(2, 4), prob(2, 4)[:, 0], frame_of(prob(2, 4)))
