"""What a stage may say beyond clips, steps and loss: parts, guidance, groups, freezing, averages."""

import pytest
import torch
from torch import nn

from tests.methods.built import composed
from tests.methods.test_contract import clip_of
from vosbench.configuration.targets import build
from vosbench.training.average import WeightAverage
from vosbench.training.groups import Groups
from vosbench.training.guidance import Guidance
from vosbench.training.module import VOSModule, learning


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
        self.bank = nn.Linear(3, 3, bias=False)


def test_groups_cover_every_trainable_parameter_once():
    network = Network()
    network.encoder[0].bias.requires_grad_(False)
    groups = Groups({"encoder.": 0.1}, ["bank.weight"], decay_vectors=False)(network)
    listed = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(listed) == sorted(id(parameter) for parameter in network.parameters() if parameter.requires_grad)
    shares = {id(parameter): (group["share"], group.get("weight_decay")) for group in groups for parameter in group["params"]}
    assert shares[id(network.encoder[0].weight)] == (0.1, None)
    assert shares[id(network.encoder[1].weight)] == (0.1, 0.0)
    assert shares[id(network.bank.weight)] == (1.0, 0.0)


def test_the_average_follows_the_weights_at_its_horizon_and_gives_them_back():
    network, average = nn.Linear(1, 1, bias=False), WeightAverage(4)
    expected = None
    for step in range(1, 6):
        with torch.no_grad():
            network.weight.fill_(float(step))
        average.update(network, step)
        decay = min(1 - 1 / 4, (1 + step) / (10 + step))
        expected = float(step) if expected is None else decay * expected + (1 - decay) * step
    with average.applied(network):
        assert network.weight.item() == pytest.approx(expected)
    assert network.weight.item() == 5.0


def test_guidance_forces_fewer_frames_from_its_switch_on():
    guidance = Guidance(prompted=1, forced=4, forced_later=2, switch=10)
    assert [guidance(k) for k in (0, 9, 10)] == [(1, 4), (1, 4), (1, 2)]


def test_forced_frames_are_remembered_as_annotated_without_being_prompts():
    method = build(composed("nearest").method)
    clip, seen = clip_of(5), []  # nothing is remembered of the last
    remember = method.memorize
    method.memorize = lambda features, prediction, masks, memory, frame: (
        seen.append(masks) or remember(features, prediction, masks, memory, frame)
    )
    method(clip, prompted=1, forced=3)
    assert [bool(masks.given.any()) for masks in seen] == [True, False, False, False]
    assert [masks.is_truth for masks in seen] == [False, True, True, False]
    assert torch.equal(seen[2].planes, clip.masks(2))
    assert not torch.equal(seen[3].planes, clip.masks(3))


def module_of(*overrides: str) -> VOSModule:
    cfg = composed("stma", *overrides)
    return VOSModule(build(cfg.method), build(cfg.stages.video), 1)


class Part(nn.Module):
    """Learns something of its own from a clip."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, clip):
        return self.norm(clip.image[:, 0])


def test_a_part_is_trained_alone_and_everything_learns_again_afterwards():
    module = module_of("stages.video.part=branch")
    module.method.branch = Part()
    module.stage.loss = lambda outputs, clip, iteration: {"square": outputs.square().mean()}
    before = {name: parameter.requires_grad for name, parameter in module.method.named_parameters()}
    with learning(module.method, "branch"):
        module.train()
        module.on_train_batch_start(clip_of(2), 0)
        module.training_step(clip_of(2), 0).backward()
        assert not module.method.stml.training
        assert module.method.branch.norm.training
    moved = {name for name, parameter in module.method.named_parameters() if parameter.grad is not None}
    assert moved == {"branch.norm.weight", "branch.norm.bias"}
    assert {name: parameter.requires_grad for name, parameter in module.method.named_parameters()} == before


def test_frozen_prefixes_get_no_gradient_from_their_step_on():
    module = module_of("stages.video.freeze=[[decoder, 0]]")
    with learning(module.method, None):
        module.on_train_batch_start(clip_of(2), 0)
        module.training_step(clip_of(2), 0).backward()
    names = {name for name, parameter in module.method.named_parameters() if parameter.grad is None}
    assert names == {name for name, _ in module.method.named_parameters() if name.startswith("decoder")}
    assert all(parameter.requires_grad for parameter in module.method.parameters())


def test_judging_a_part_needs_a_part():
    stage = composed("stma", "stages.video.assess={_target_: torch.nn.Identity}").stages.video
    with pytest.raises(Exception, match=r"stages\.video\.assess judges a part"):
        build(stage)
