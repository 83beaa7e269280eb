"""CAPA: the affinity target, its loss, the network beside AOT, and what is measured of it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.methods.built import built, composed
from vosbench.configuration.targets import build
from vosbench.errors import ConfigError
from vosbench.methods.aot_capa.affinity import OFFSETS, affinity_target, mean_affinity
from vosbench.methods.aot_capa.affinity_loss import AffinityLoss
from vosbench.methods.aot_capa.affinity_quality import PairCounts, affinity_quality, touching_pairs
from vosbench.methods.aot_capa.capa import CAPA
from vosbench.methods.aot_capa.uper_head import UperHead
from vosbench.video.clip import Clip
from vosbench.video.still import Still

MIRRORED = [0, 5, 7, 6, 4, 1, 3, 2]


def capa(seed: int = 0, **changes) -> CAPA:
    """The tiny branch of the YAML files."""
    torch.manual_seed(seed)
    return build({**composed("aot_capa").method.capa, **changes})


def label_maps(seed: int, ids: tuple[int, ...] = (0, 1, 2, 3, 255), size: tuple[int, int] = (7, 9)) -> Tensor:
    """Two maps of blocks."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.tensor(ids)[torch.randint(len(ids), (2, 4, 5), generator=generator)]
    return coarse.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, : size[0], : size[1]]


def clip_of(label_map: Tensor, length: int = 1, seed: int = 1) -> Clip:
    batch, height, width = label_map.shape
    image = torch.rand(batch, length, 3, height, width, generator=torch.Generator().manual_seed(seed))
    maps = label_map[:, None].repeat(1, length, 1, 1)
    names = [[str(t) for t in range(length)]] * batch
    return Clip(image, maps, torch.ones(batch, 3, dtype=torch.bool), ["a"] * batch, names)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def directly(label_map: Tensor) -> tuple[Tensor, Tensor]:
    """The definition, pixel by pixel: specification 3.9."""
    batch, height, width = label_map.shape
    target, weight = torch.zeros(batch, 8, height, width), torch.zeros(batch, 8, height, width)
    for b, k, y, x in np.ndindex(batch, 8, height, width):
        row, column = y + OFFSETS[k][0], x + OFFSETS[k][1]
        if 0 <= row < height and 0 <= column < width:
            own, other = int(label_map[b, y, x]), int(label_map[b, row, column])
            if 255 not in (own, other):
                target[b, k, y, x], weight[b, k, y, x] = own == other, own > 0 or other > 0
    return target, weight


@pytest.mark.parametrize("seed", range(5))
def test_target_and_weight_are_those_of_the_definition(seed):
    label_map = label_maps(seed)
    target, weight = affinity_target(label_map)
    expected_target, expected_weight = directly(label_map)
    assert torch.equal(target, expected_target)
    assert torch.equal(weight, expected_weight)


def test_offsets_are_in_the_published_order_and_opposite_ones_lie_four_apart():
    assert OFFSETS == ((-1, 0), (0, -1), (-1, -1), (1, -1), (1, 0), (0, 1), (1, 1), (-1, 1))
    assert all((-dy, -dx) == OFFSETS[k + 4] for k, (dy, dx) in enumerate(OFFSETS[:4]))


@given(seed=st.integers(0, 2**16), k=st.integers(0, 3))
def test_a_pair_is_the_same_from_either_side(seed, k):
    dy, dx = OFFSETS[k]
    for found in affinity_target(label_maps(seed)):
        # torch.roll brings position p + o to p; what came round the border pairs with the outside, which is 0 on this side.
        other_side = torch.roll(found[:, k + 4], (-dy, -dx), (1, 2))
        rows = slice(max(0, -dy), 7 - max(0, dy))
        columns = slice(max(0, -dx), 9 - max(0, dx))
        assert torch.equal(found[:, k, rows, columns], other_side[:, rows, columns])


@given(seed=st.integers(0, 2**16))
def test_names_of_objects_do_not_matter(seed):
    label_map = label_maps(seed)
    renamed = torch.arange(256)
    renamed[1:4] = torch.tensor([200, 1, 17])
    for reduction in (None, "mean"):
        for one, other in zip(affinity_target(label_map, reduction), affinity_target(renamed[label_map], reduction), strict=True):
            assert torch.equal(one, other)


def test_two_half_planes_differ_exactly_on_their_seam():
    label_map = torch.ones(1, 6, 8, dtype=torch.long)
    label_map[:, :, 4:] = 2
    target, weight = affinity_target(label_map)
    crosses = torch.zeros(1, 8, 6, 8, dtype=torch.bool)
    crosses[:, [5, 6, 7], :, 3] = True  # to the right, from the last column of the left half
    crosses[:, [1, 2, 3], :, 4] = True
    assert torch.equal((target == 0) & (weight == 1), crosses & (weight == 1))
    assert (
        int((weight == 0).sum()) == 3 * (6 + 8 + 6 + 8) - 4
    )  # three neighbours of a side's pixels, a corner's two sides share one


@given(seed=st.integers(0, 2**16))
def test_a_mirrored_map_has_mirrored_neighbours(seed):
    label_map = label_maps(seed)
    for found, mirrored in zip(affinity_target(label_map), affinity_target(label_map.flip(2)), strict=True):
        assert torch.equal(mirrored, found.flip(3)[:, MIRRORED])


def test_the_mean_leaves_out_neighbours_that_cannot_be_known():
    label_map = torch.tensor([[[1, 1, 255], [1, 2, 255], [0, 0, 0]]])
    target, weight = affinity_target(label_map, "mean")
    assert target[0, 0, 0].tolist() == pytest.approx([2 / 3, 2 / 3, 0])  # corner: 1, 1 and 2; next to it 1, 1 and 2 again
    assert target[0, 0, 1, 1] == 0
    assert weight[0, 0].tolist() == [[1, 1, 0], [1, 1, 0], [1, 1, 1]]
    everywhere, _ = affinity_target(torch.ones(1, 4, 4, dtype=torch.long), "mean")
    assert torch.equal(everywhere, torch.ones(1, 1, 4, 4))


def test_an_image_of_background_costs_nothing_and_pulls_nowhere():
    label_map = torch.zeros(1, 8, 8, dtype=torch.long)
    logits = torch.randn(1, 8, 8, 8, requires_grad=True)
    assert not affinity_target(label_map)[1].any()
    loss = AffinityLoss(0.05)(logits, clip_of(label_map), 0)["affinity"]
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


@pytest.mark.parametrize("reduction", [None, "mean"])
def test_the_loss_is_the_weighted_mean_per_image(reduction):
    label_map = label_maps(3)
    target, weight = affinity_target(label_map, reduction)
    logits = torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    found = AffinityLoss(0.05)(logits, clip_of(label_map, length=2), 0)["affinity"]
    prob = logits.double().sigmoid()
    bce = -(0.05 * target * prob.log() + (1 - target) * (1 - prob).log())
    images = [(weight[b] * bce[b]).sum() / (weight[b].sum() + 1e-5) for b in range(2)]
    assert float(found) == pytest.approx(float(sum(images) / 2), rel=1e-5)


def test_positive_weight_scales_pairs_of_one_instance_alone():
    one_object, torn = torch.ones(1, 6, 6, dtype=torch.long), torch.arange(1, 37).reshape(1, 6, 6)
    logits = torch.full((1, 8, 6, 6), 0.3)
    for label_map, ratio in ((one_object, 0.05), (torn, 1.0)):
        light, full = (float(AffinityLoss(weight)(logits, clip_of(label_map), 0)["affinity"]) for weight in (0.05, 1.0))
        assert light / full == pytest.approx(ratio, rel=1e-4)
    with pytest.raises(ValueError, match=r"positive_weight=0\.0: must be above 0"):
        AffinityLoss(0.0)


def test_tiny_form_has_the_published_number_of_parameters():
    branch = capa()
    assert (count(branch.backbone), count(branch) - count(branch.backbone)) == (250_208, 150_792)
    assert count(capa(reduction="mean").predict) == 33


def test_paper_form_has_the_published_number_of_parameters():
    node = composed("aot_capa", "size=paper").method.capa
    with torch.device("meta"):
        branch = build({**node, "pretrained": False})
    assert (count(branch.backbone), count(branch) - count(branch.backbone)) == (23_508_032, 18_229_256)


@pytest.mark.parametrize("size", [(113, 97), (33, 64), (50, 71)])
@pytest.mark.parametrize(("reduction", "maps"), [(None, 8), ("mean", 1)])
def test_logits_have_the_size_of_the_clip_and_features_a_quarter(size, reduction, maps):
    branch = capa(reduction=reduction).eval()
    clip = clip_of(torch.zeros(2, *size, dtype=torch.long), length=2)
    with torch.inference_mode():
        assert branch(clip).shape == (2, maps, *size)
        assert branch.features(clip.image[:, 0]).shape == (2, branch.width, math.ceil(size[0] / 4), math.ceil(size[1] / 4))


def test_only_the_first_frame_of_a_clip_counts():
    branch = capa().eval()
    clip = clip_of(torch.zeros(1, 40, 40, dtype=torch.long), length=2)
    before = branch(clip)
    clip.image[:, 1] = 0
    assert torch.equal(branch(clip), before)
    clip.image[:, 0] = 0
    assert not torch.allclose(branch(clip), before)


def test_clips_are_normalised_and_features_are_not():
    branch = capa().eval()
    clip = clip_of(torch.zeros(1, 40, 40, dtype=torch.long))
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    image = (clip.image[:, 0] - mean[:, None, None]) / deviation[:, None, None]
    logits = nn.functional.interpolate(branch.predict(branch.features(image)), size=(40, 40), mode="bilinear")
    torch.testing.assert_close(branch(clip), logits, rtol=0, atol=1e-5)


def test_every_parameter_learns_and_batch_norms_follow_the_data_while_the_branch_is_trained():
    branch = capa().train()
    clip = clip_of(label_maps(5, ids=(0, 1, 2), size=(7, 9)).repeat_interleave(12, 1).repeat_interleave(12, 2))
    before = {name: buffer.clone() for name, buffer in branch.named_buffers() if name.endswith("running_mean")}
    AffinityLoss(0.05)(branch(clip), clip, 0)["affinity"].backward()
    assert [name for name, p in branch.named_parameters() if p.grad is None or not p.grad.any()] == []
    moved = {name for name, buffer in branch.named_buffers() if name in before and not torch.equal(buffer, before[name])}
    assert moved == set(before)


def test_one_image_alone_can_be_trained_on():
    branch = capa().train()
    clip = clip_of(torch.ones(1, 113, 113, dtype=torch.long))
    assert torch.isfinite(AffinityLoss(0.05)(branch(clip), clip, 0)["affinity"])


def test_the_head_computes_upernet_in_the_order_of_the_paper():
    torch.manual_seed(0)
    head = UperHead([2, 3, 4, 5], pool_width=3, width=4).eval()
    maps = [torch.rand(1, channels, 48 // 2**i, 40 // 2**i) for i, channels in enumerate([2, 3, 4, 5])]

    def resized(x: Tensor, size: torch.Size) -> Tensor:
        return nn.functional.interpolate(x, size=size[-2:], mode="bilinear", align_corners=False)

    pooled = [nn.functional.adaptive_avg_pool2d(maps[3], s) for s in (1, 2, 3, 6)]
    pyramid = [level(resized(p, maps[3].shape)) for level, p in zip(head.pool.levels, pooled, strict=True)]
    top = head.pool.mix(torch.cat([maps[3], *pyramid], 1))
    s16 = head.laterals[2](maps[2]) + resized(top, maps[2].shape)
    s8 = head.laterals[1](maps[1]) + resized(s16, maps[1].shape)
    s4 = head.laterals[0](maps[0]) + resized(s8, maps[0].shape)
    levels = [head.smooth[0](s4), head.smooth[1](s8), head.smooth[2](s16), top]
    expected = head.fuse(torch.cat([resized(level, maps[0].shape) for level in levels], 1))
    torch.testing.assert_close(head(maps), expected, rtol=0, atol=1e-6)


def test_bad_arguments_are_refused_in_a_sentence():
    with pytest.raises(ConfigError, match=r"method\.capa\.width=0: expected channels, 1 or more"):
        capa(width=0)
    with pytest.raises(ConfigError, match=r"maps at strides \[4, 8, 16, 16\], expected \[4, 8, 16, 32\]"):
        capa(backbone_options={"output_stride": 16})


def test_aot_trains_the_branch_as_a_part_of_its_own():
    branch = built("aot_capa").get_submodule("capa")
    assert isinstance(branch, CAPA)
    assert branch.width == 32


SCENE = torch.zeros(1, 20, 24, dtype=torch.long)
SCENE[:, 3:17, 2:12], SCENE[:, 3:17, 12:22] = 1, 2  # two squares side by side on background
SAME = affinity_target(SCENE)[0]


def summary(logits: Tensor, label_map: Tensor = SCENE) -> dict[str, float]:
    counts = PairCounts()
    counts.add(logits, label_map)
    return counts.summary()


def test_a_perfect_affinity_scores_one_and_its_opposite_nothing():
    right, wrong = summary(20 * SAME - 10), summary(10 - 20 * SAME)
    shares = [name for name in right if name.startswith("touching_") and name != "touching_pairs"]
    assert right["auc"] == 1
    assert wrong["auc"] == 0
    assert [right[name] for name in shares] == [1] * 5
    assert [wrong[name] for name in shares] == [0] * 5
    assert right["prob_same"] == pytest.approx(1, abs=1e-4)
    assert right["prob_different"] == pytest.approx(0, abs=1e-4)


def test_the_area_under_the_curve_is_the_share_of_pairs_in_order():
    _, weight = affinity_target(SCENE)
    logits = torch.randint(-3, 4, SAME.shape, generator=torch.Generator().manual_seed(0)).float()
    same, different = logits[(weight == 1) & (SAME == 1)], logits[(weight == 1) & (SAME == 0)]
    ordered = (same[:, None] > different).double() + 0.5 * (same[:, None] == different).double()
    assert summary(logits)["auc"] == pytest.approx(float(ordered.mean()), abs=1e-12)


def test_only_pairs_of_two_objects_near_their_boundary_count_as_touching():
    near = touching_pairs(SCENE, near=2)
    columns = near.any(1)[0].any(0).nonzero().flatten().tolist()
    assert columns == [9, 10, 11, 12, 13, 14]  # two to either side, and the third, whose partner is one of them
    assert torch.equal(near[:, 1, :, 9], torch.zeros(1, 20, dtype=torch.bool))  # from the third outwards
    assert not near[:, :, :3].any()
    assert not near[:, 0, 3].any()  # upwards lies the background
    apart = SCENE.clone()
    apart[:, :, 12] = 0
    assert not touching_pairs(apart).any()
    assert math.isnan(summary(20 * SAME - 10, apart)["touching_auc"])


def test_to_say_same_everywhere_finds_no_boundary_between_objects():
    found = summary(torch.full(SAME.shape, 5.0))
    assert (found["auc"], found["touching_auc"], found["touching_different_recall"]) == (0.5, 0.5, 0)
    assert found["touching_same_recall"] == 1


def test_counts_add_up_over_images_and_one_map_stands_for_all_neighbours():
    logits = torch.randn(2, 8, 20, 24, generator=torch.Generator().manual_seed(1))
    apart, together = PairCounts(), PairCounts()
    for place in range(2):
        apart.add(logits[place : place + 1], SCENE)
    together.add(logits, SCENE.repeat(2, 1, 1))
    assert apart.summary() == pytest.approx(together.summary(), abs=1e-9)
    one = logits[:1, :1]
    assert summary(one) == summary(one.repeat(1, 8, 1, 1))


def test_quality_of_a_branch_is_measured_in_eval_mode_and_its_mode_put_back():
    branch = capa().train()
    image = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    stills = [Still("a", image, SCENE[0].numpy().astype(np.uint8))]
    before = {name: buffer.clone() for name, buffer in branch.named_buffers()}
    found = affinity_quality(branch, stills)
    assert branch.training
    assert all(torch.equal(buffer, before[name]) for name, buffer in branch.named_buffers())
    with torch.no_grad():
        logits = branch.eval().affinity(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)
    assert found == summary(logits)


def test_outside_neighbours_do_not_colour_the_border_of_a_picture():
    prob = torch.where(affinity_target(torch.ones(1, 5, 6, dtype=torch.long))[1] > 0, 0.75, 0.0)
    torch.testing.assert_close(mean_affinity(prob), torch.full((1, 5, 6), 0.75))
    assert torch.equal(mean_affinity(prob[:, :1]), prob[:, 0])
