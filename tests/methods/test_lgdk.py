"""LGDK's parts: equations, sizes, ablations, backbones (invariants of the specification, section 9)."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.methods.built import built
from tests.methods.stma_cases import clip, frames, stream, two_objects
from vosbench.errors import ConfigError
from vosbench.layers.conv_blocks import conv3x3
from vosbench.methods.lgdk.aspp import ASPP, ASPPOptions
from vosbench.methods.lgdk.backbones import KNOWN, Backbone, BackboneOptions
from vosbench.methods.lgdk.kernels import dynamic_conv
from vosbench.methods.lgdk.network import LGDK
from vosbench.methods.lgdk.object_features import object_feature, running_mean
from vosbench.methods.method import Method
from vosbench.training.losses import BootstrappedDice, hardest_cross_entropy

# Table 2, rows 1 to 5.
ROWS = {
    "none": ("kernels.use_local=false", "kernels.use_global=false", "aspp.enabled=false"),
    "global": ("kernels.use_local=false", "aspp.enabled=false"),
    "local": ("kernels.use_global=false", "aspp.enabled=false"),
    "both": ("aspp.enabled=false",),
    "both and aspp": (),
}
every_row = pytest.mark.parametrize("changes", ROWS.values(), ids=ROWS.keys())
AT_RANDOM = ("size=paper", "method.backbone.pretrained=false")


def lgdk(*changes: str, seed: int = 0) -> Method:
    """The tiny form with dotted changes below `method`, in eval mode."""
    return built("lgdk", *[f"method.{change}" for change in changes], seed=seed).eval()


def strong(method: Method) -> Method:
    """With kernels whose dynamic part is as large as the static one, which a new network's is not."""
    assert isinstance(method, LGDK)
    if method.kernels is not None:
        torch.manual_seed(1)
        nn.init.normal_(method.kernels.fc[2].weight, std=0.3)
    return method


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_a_constant_mask_gives_the_plain_mean_however_strong_it_is():
    feature = torch.randn(2, 5, 3, 4)
    for strength in (1.0, 0.5):
        mean = object_feature(feature, torch.full((2, 48, 64), strength))
        torch.testing.assert_close(mean, feature.mean((2, 3)), rtol=1e-5, atol=1e-5)


def test_a_mask_of_exactly_one_cell_gives_that_cell():
    feature, mask = torch.randn(1, 5, 3, 4), torch.zeros(1, 48, 64)
    mask[0, 16:32, 32:48] = 1
    torch.testing.assert_close(object_feature(feature, mask)[0], feature[0, :, 1, 2])


def test_no_mask_gives_the_zero_vector():
    assert object_feature(torch.randn(1, 5, 3, 4), torch.zeros(1, 48, 64)).tolist() == [[0.0] * 5]


def test_the_running_mean_is_the_mean_of_the_vectors_that_count():
    vectors = torch.randn(50, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    counts = torch.rand(50, 1, 2, generator=torch.Generator().manual_seed(1)) < 0.6
    mean, number = torch.zeros(1, 2, 3), torch.zeros(1, 2)
    for t in range(50):
        mean, number = running_mean(mean, number, vectors[t], counts[t])
        expected = (vectors[: t + 1] * counts[: t + 1, :, :, None]).sum(0) / counts[: t + 1].sum(0).clamp(min=1)[:, :, None]
        torch.testing.assert_close(mean, expected, rtol=0, atol=1e-5)
    assert torch.equal(number, counts.sum(0).float())


def test_the_dynamic_convolution_is_one_convolution_per_object():
    x, kernel = torch.randn(3, 4, 5, 6), torch.randn(3, 9 * 4 + 1)
    expected = [F.conv2d(x[i : i + 1], kernel[i, :36].view(1, 4, 3, 3), kernel[i, 36:], padding=1) for i in range(3)]
    torch.testing.assert_close(dynamic_conv(x, kernel), torch.cat(expected))


def test_a_generator_without_weights_is_the_static_network():
    # given a static network, and one with kernels that has its weights beside a generator of nothing but its last layer
    static, dynamic = lgdk(*ROWS["none"]), lgdk(*ROWS["both"])
    state = static.state_dict()
    dynamic.load_state_dict({k: v for k, v in state.items() if not k.startswith("decoder.pred")}, strict=False)
    nn.init.zeros_(dynamic.kernels.fc[2].weight)
    last = torch.cat([state["decoder.pred.weight"].flatten(), state["decoder.pred.bias"]])
    dynamic.kernels.fc[2].bias.data.copy_(last)
    one, _ = stream(static, frames(4), two_objects(), 2)
    other, _ = stream(dynamic, frames(4), two_objects(), 2)
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_a_new_generator_begins_near_a_static_convolution():
    method = lgdk()
    bias, other = method.kernels.fc[2].bias.detach(), torch.randn(20, 2 * 96)
    with torch.no_grad():
        kernels = method.kernels(other[:, :96], other[:, 96:])
    assert float((kernels - bias).std()) < 0.01 * float(bias.std())


def test_the_frames_part_of_the_decoder_is_done_once_and_gives_the_same():
    decoder = lgdk().decoder
    x, fine4, fine8 = torch.randn(2, 32, 3, 4), torch.randn(1, 32, 12, 16), torch.randn(1, 64, 6, 8)
    kernel, both = torch.randn(2, 289), torch.tensor([0, 0])
    together = decoder(x, decoder.of_frame(fine4, fine8), both, kernel)
    own = decoder.of_frame(fine4.repeat(2, 1, 1, 1), fine8.repeat(2, 1, 1, 1))
    torch.testing.assert_close(together, decoder(x, own, torch.tensor([0, 1]), kernel))


def test_the_pyramid_keeps_the_size_of_what_passes():
    pyramid, x = ASPP(ASPPOptions(enabled=True, channels=64, rates=[1, 2], dropout=0.0), 64), torch.randn(2, 64, 16, 16)
    with torch.no_grad():
        rms = float(pyramid(x).square().mean().sqrt())
    assert 0.5 < rms < 2


TINY = {
    "enc_q": 242_112,
    "enc_m": 248_384,
    "key_q": 27_680,
    "value_q": 55_360,
    "key_m": 27_680,
    "value_m": 55_360,
    "aspp": 43_008,
    "decoder": 129_440,
    "kernels": 35_297,
}


def test_parts_of_the_tiny_form_have_the_specified_sizes():
    assert {name: count(part) for name, part in lgdk().named_children()} == TINY


@pytest.mark.parametrize(
    ("row", "tiny", "paper"),
    [
        ("none", 813_953, 71_561_729),
        ("global", 842_817, 73_529_345),
        ("local", 842_817, 73_529_345),
        ("both", 848_961, 74_053_633),
        ("both and aspp", 864_321, 79_886_337),
    ],
)
def test_rows_of_the_ablation_have_the_specified_sizes(row, tiny, paper):
    with torch.device("meta"):
        assert count(lgdk(*ROWS[row])) == tiny
        assert count(built("lgdk", *AT_RANDOM, *[f"method.{change}" for change in ROWS[row]])) == paper


@pytest.mark.parametrize(
    ("name", "image", "planes", "total"),
    [
        ("wide_resnet50_2", 24_862_528, 24_868_800, 79_886_337),
        ("resnest101e", 30_073_184, 30_074_336, 90_302_529),
        ("legacy_seresnet152", 48_228_720, 48_234_992, 126_618_721),
        ("swin_base_patch4_window12_384", 59_548_984 + 1_792, 59_553_080 + 1_024, 141_952_625),
        ("resnet50", 8_543_296, 8_549_568, 47_247_873),
    ],
)
def test_every_backbone_has_its_published_size(name, image, planes, total):
    with torch.device("meta"):
        method = built("lgdk", *AT_RANDOM, f"method.backbone.name={name}")
    assert (count(method.enc_q), count(method.enc_m), count(method)) == (image, planes, total)


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_every_backbone_gives_maps_at_strides_4_8_16_of_any_padded_frame(name):
    small = {"depths": (2, 2, 2, 2), "embed_dim": 32, "num_heads": (1, 2, 4, 8)} if "swin" in name else {"layers": (1, 1, 1, 1)}
    torch.manual_seed(0)
    backbone = Backbone(BackboneOptions(name, None, None, small), planes=2).eval()
    with torch.inference_mode():
        maps = backbone(torch.randn(1, 5, 48, 80))
    assert [tuple(map.shape[1:]) for map in maps] == [
        (c, 48 // s, 80 // s) for c, s in zip(backbone.channels, (4, 8, 16), strict=True)
    ]
    assert all(bool(map.isfinite().all()) for map in maps)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("resnet18", "conv1"),
        ("resnest101e", "conv1.0"),
        ("legacy_seresnet152", "layer0.conv1"),
        ("swin_base_patch4_window12_384", "patch_embed.proj"),
    ],
)
def test_masks_enter_through_orthogonal_weights_beside_those_of_the_image(name, first):
    small = {"depths": (2, 2, 2, 2), "embed_dim": 32, "num_heads": (1, 2, 4, 8)} if "swin" in name else {"layers": (1, 1, 1, 1)}
    options = BackboneOptions(name, None, None, small)
    torch.manual_seed(0)
    image = Backbone(options)
    torch.manual_seed(0)
    with_masks = Backbone(options, planes=2)
    old, new = (backbone.net.get_submodule(first) for backbone in (image, with_masks))
    assert torch.equal(new.weight[:, :3], old.weight)
    assert old.bias is None or torch.equal(new.bias, old.bias)
    planes = new.weight[:, 3:].detach().flatten(1)
    gram = planes @ planes.T if planes.shape[0] <= planes.shape[1] else planes.T @ planes
    torch.testing.assert_close(gram, torch.eye(len(gram)), rtol=0, atol=1e-4)


def test_memory_and_query_begin_with_the_same_keys_where_there_is_no_mask():
    # given a new network, and frames whose objects are nowhere
    method, image = lgdk(), torch.randn(2, 3, 48, 64)
    # when both encoders look at them
    with torch.no_grad():
        query = method.enc_q(image)[-1]
        memory = method.enc_m(F.pad(image, (0, 0, 0, 0, 0, 2)))[0]
        # then maps and keys are the same
        torch.testing.assert_close(memory, query)
        torch.testing.assert_close(method.key_m(memory), method.key_q(query))


@every_row
def test_every_parameter_gets_a_gradient_from_one_clip_of_three_frames(changes):
    method, sample = lgdk(*changes).train(), clip(3)
    steps = method(sample)
    sum(F.cross_entropy(steps[t].logits, sample.label_map[:, t]) for t in (1, 2)).backward()
    without = [name for name, parameter in method.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert without == []


def test_batch_norm_keeps_its_statistics_in_training_and_learns_its_gains():
    method = lgdk("backbone.options.norm_layer=batchnorm2d").train()
    sample = clip(3)
    statistics = {name: tensor.clone() for name, tensor in method.named_buffers() if "running" in name}
    gains = {name: p.detach().clone() for name, p in method.named_parameters() if "bn" in name}
    optimizer = torch.optim.Adam(method.parameters(), lr=1e-3)
    steps = method(sample)
    sum(F.cross_entropy(steps[t].logits, sample.label_map[:, t]) for t in (1, 2)).backward()
    optimizer.step()
    assert len(statistics) > 0
    assert all(torch.equal(dict(method.named_buffers())[name], before) for name, before in statistics.items())
    assert all(not torch.equal(dict(method.named_parameters())[name], before) for name, before in gains.items())


def test_the_share_of_hard_pixels_falls_as_in_stcn():
    loss = BootstrappedDice(20_000, 70_000, 0.15, 2.0, 0.0, 1)
    shares = [loss.share(iteration) for iteration in (0, 20_000, 45_000, 70_000, 80_000)]
    assert shares == pytest.approx([1, 1, 0.575, 0.15, 0.15])
    logits, labels = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    torch.testing.assert_close(hardest_cross_entropy(logits, labels, 1.0), F.cross_entropy(logits, labels))


def test_a_pyramid_of_one_rate_is_a_pointwise_layer():
    method = lgdk("aspp.rates=[1]")
    assert [branch.kernel_size for branch in method.aspp.branch] == [(1, 1)]
    method = lgdk("aspp.rates=[1,2,4]")
    x = torch.randn(1, 128, 5, 6)
    assert method.aspp(x).shape == (1, 32, 5, 6)
    assert [branch.dilation[0] for branch in method.aspp.branch] == [1, 2, 4]


@pytest.mark.parametrize(("change", "message"), [
    ("kernels.hidden=0", r"method\.kernels\.hidden=0"),
    ("aspp.rates=[]", r"method\.aspp\.rates=\[\]"),
    ("aspp.dropout=1.0", r"method\.aspp\.dropout=1\.0"),
    ("memory.max_frames=1", r"method\.memory\.max_frames=1"),
])  # fmt: skip
def test_settings_that_cannot_be_are_named(change, message):
    with pytest.raises(ConfigError, match=message):
        lgdk(change)


def test_the_kernel_is_laid_out_as_a_convolutions_weight():
    conv, x = conv3x3(4, 1), torch.randn(1, 4, 5, 6)
    kernel = torch.cat([conv.weight.flatten(), conv.bias])[None]
    torch.testing.assert_close(dynamic_conv(x, kernel), conv(x))
