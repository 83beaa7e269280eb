"""CFBI+ and CAMN in training: sizes of the network, gradients, frozen parts, and that a clip is a streamed video."""

import pytest
import torch
from torch.nn import functional as F

from tests.methods.cfbi_cases import awake, cfbi, clip, stream
from vosbench.configuration.composition import Source
from vosbench.configuration.places import conf_folder
from vosbench.configuration.targets import build
from vosbench.layers.frozen_batch_norm import FrozenBatchNorm
from vosbench.methods.cfbi_fgstm.network import CFBI

FPN, PAN = ("neck=fpn",), ("neck=pan",)
ROW_3 = (*PAN, "head.fpa=true")
ROW_4 = (*ROW_3, "object_context=true")
COUNTS = [  # the table of the specification's section 4
    (("neck=none",), 66_045_376, 870_900),
    (FPN, 74_063_604, 1_100_640),
    (PAN, 76_424_436, 1_183_872),
    (ROW_3, 79_331_828, 1_286_592),
    (ROW_4, 79_430_772, 1_290_168),
    ((*ROW_4, "memory.scheme=a"), 82_791_604, 1_413_840),
    ((*ROW_4, "memory.scheme=b"), 82_792_120, 1_413_940),
    (("neck=none", "head.fpa=true", "object_context=true"), 69_051_712, 977_196),
]


@pytest.mark.parametrize(("changes", "paper", "tiny"), COUNTS)
def test_the_network_has_as_many_parameters_as_the_specification_says(changes, paper, tiny):
    with torch.device("meta"):
        networks = cfbi("backbone.pretrained=null", *changes, size="paper"), cfbi(*changes)
    assert [sum(p.numel() for p in network.parameters()) for network in networks] == [paper, tiny]


def test_the_full_network_is_the_one_of_the_configuration():
    with torch.device("meta"):
        sizes = {form: cfbi("backbone.pretrained=null", name="cfbi_fgstm", size=form) for form in ("paper", "tiny")}
    counts = {form: sum(p.numel() for p in network.parameters()) for form, network in sizes.items()}
    assert counts == {"paper": 82_791_604, "tiny": 1_413_840}


def loss_of(method: CFBI, sample, forced: int = 1) -> torch.Tensor:
    steps = method(sample, 1, forced)
    return torch.stack([F.cross_entropy(step.logits, sample.label_map[:, t]) for t, step in enumerate(steps) if t]).sum()


@pytest.mark.parametrize("changes", [("neck=none",), (*ROW_4, "memory.scheme=a"), (*ROW_4, "memory.scheme=b")])
def test_with_every_weight_awake_every_weight_learns(changes):
    method = awake(cfbi(*changes)).train()
    loss_of(method, clip()).backward()
    dead = [name for name, p in method.named_parameters() if p.grad is None or not p.grad.abs().any()]
    assert dead == []


def test_frozen_norms_stay_to_the_bit_while_the_rest_learns():
    method = cfbi("backbone.norm=frozen")
    norms = [module for module in method.modules() if isinstance(module, FrozenBatchNorm)]
    for norm in norms:  # as if they had been loaded
        norm.running_mean.normal_(std=0.1)
    before = [{name: x.clone() for name, x in norm.named_buffers()} for norm in norms]
    optimizer = torch.optim.SGD(method.train().parameters(), lr=0.01)
    weight = method.backbone.trunk.layer1[0].conv1.weight.detach().clone()
    for _ in range(3):
        optimizer.zero_grad()
        loss_of(method, clip(3)).backward()
        optimizer.step()
    assert len(norms) > 20
    assert all(torch.equal(x, old[name]) for norm, old in zip(norms, before, strict=True) for name, x in norm.named_buffers())
    assert not torch.equal(method.backbone.trunk.layer1[0].conv1.weight, weight)


@pytest.mark.parametrize("changes", [(), (*ROW_4, "memory.scheme=a")])
def test_a_clip_is_a_streamed_video(changes):
    method, sample = awake(cfbi(*changes)), clip(4)
    with torch.no_grad():
        steps = method(sample)
    for row, objects in enumerate((2, 1)):
        given = {0: {channel: sample.masks(0)[row, channel] for channel in range(objects)}}
        streamed = stream(method, sample.image[row], given, objects)
        for a, b in zip(steps, streamed, strict=True):
            torch.testing.assert_close(a.prob[row : row + 1, : objects + 1], b.prob, rtol=0, atol=1e-4)


def test_a_frame_that_is_forced_leaves_its_annotation_as_the_previous_mask():
    method, sample = cfbi(), clip(3)
    with torch.no_grad():
        free, forced = method(sample), method(sample, 1, 2)
    stored = forced[1].memory.label_maps[0]
    assert torch.equal(
        stored, F.interpolate(sample.label_map[:, 1:2].float(), size=stored.shape[1:], mode="nearest")[:, 0].long()
    )
    assert not torch.equal(stored, free[1].memory.label_maps[0])
    assert len(forced[1].memory.references) == 1


def test_with_the_memory_the_frames_of_the_clip_are_all_held_and_learn():
    method, sample = awake(cfbi(*ROW_4, "memory.scheme=a")).train(), clip(4)
    steps = method(sample)
    assert steps[-1].memory.state.frames == [0, 1, 2]  # what the last frame reads
    F.cross_entropy(steps[-1].logits, sample.label_map[:, 3]).backward()
    assert method.fgstm.regions[0].key.weight.grad.abs().any()


@pytest.mark.parametrize(("size", "half"), [("paper", 50_000), ("tiny", None)])
def test_mining_begins_with_all_pixels_and_ends_with_the_hardest_at_half_of_the_steps(size, half):
    stage = Source(conf_folder()).compose(["+method=cfbi_plus", f"size={size}"]).config.stages.video
    loss = build(stage.loss)
    middle = stage.steps // 2 if half is None else half
    assert [loss.share(step) for step in (0, middle, stage.steps)] == [1.0, 0.15, 0.15]
    assert stage.schedule.total == stage.steps


def test_the_stage_of_the_memory_holds_it_still_until_its_own_turn():
    stages = Source(conf_folder()).compose(["+method=cfbi_fgstm", "size=paper"]).config.stages
    assert (list(stages.chain), list(stages.video.freeze), list(stages.memory.freeze)) == (
        ["video", "memory"],
        [["fgstm", 0]],
        [],
    )
    assert [build(stages[name].guidance)(step) for name, step in (("video", 0), ("video", 50_000), ("memory", 0))] == [
        (1, 5),
        (1, 2),
        (1, 2),
    ]
    assert build(stages.memory.loss).share(0) == 0.15


def test_the_small_network_learns_one_clip():
    torch.manual_seed(0)
    method, sample = cfbi(name="cfbi_fgstm").train(), clip(3)
    optimizer, losses = torch.optim.AdamW(method.parameters(), lr=2e-3), []
    for _ in range(12):
        losses.append(loss_of(method, sample))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0] / 3
