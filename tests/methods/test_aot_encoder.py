"""Encoders of AOT: equal to the public code's numbers, constants where it has constants, Swin's own order of pad and shift."""

import itertools

import pytest
import timm
import torch
from timm.models.swin_transformer import SwinTransformerBlock
from torch import Tensor, nn
from torch.nn import functional as F

from tests.goldens import fill, needs_golden, official_state, outputs
from vosbench.layers.frozen_batch_norm import FrozenBatchNorm
from vosbench.methods.aot_capa.encoder import Encoder
from vosbench.methods.aot_capa.official import converted
from vosbench.methods.aot_capa.swin import Block, Swin

SMALL_SWIN = {"embed_dim": 16, "depths": (2, 2, 2, 2), "num_heads": (1, 2, 4, 8), "out_indices": (0, 1, 2)}
TINY = {"output_stride": 16, "out_indices": [1, 2, 3, 4]}


def encoder(name: str, *, freeze: bool = True, drop_path: float = 0.0, **options) -> Encoder:
    torch.manual_seed(0)
    return Encoder(name, False, drop_path, freeze, options)


def small_swin(**changes) -> Swin:
    torch.manual_seed(0)
    swin = Swin("swin_tiny_patch4_window7_224", False, {**SMALL_SWIN, **changes}, "key").eval()
    for parameter in swin.parameters():
        nn.init.normal_(parameter, std=0.3)
    return swin


@pytest.mark.parametrize(
    ("golden", "name"),
    [
        pytest.param("aot_t", "mobilenetv2", marks=needs_golden("aot_t")),
        pytest.param("r50_aotl", "resnet50", marks=needs_golden("r50_aotl")),
    ],
)
def test_the_maps_are_those_of_the_public_code(golden, name):
    # given
    weights = converted(official_state(golden)).weights
    network = encoder(name).eval()
    network.load_state_dict({key[len("encoder.") :]: value for key, value in weights.items() if key.startswith("encoder.")})
    image = (torch.from_numpy(fill().image(100, 129, 161)) - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor(
        [0.229, 0.224, 0.225]
    )
    # when
    with torch.no_grad():
        maps = list(network(image.permute(2, 0, 1)[None]))
    # then: 16 channels of each are known, of the deepest one after AOT's projector
    state = official_state(golden)
    maps[3] = F.conv2d(maps[3], state["encoder_projector.weight"], state["encoder_projector.bias"])
    for number, found in enumerate(maps):
        channels = torch.arange(16) * (found.shape[1] // 16)
        torch.testing.assert_close(found[0, channels], outputs(golden)[f"inter/enc{number}"], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "options", "channels", "count"),
    [
        ("mobilenetv2", {}, (24, 32, 96, 1280), 2_189_760),
        ("resnet50", {}, (256, 512, 1024, 1024), 8_512_704),
        ("resnet101", {}, (256, 512, 1024, 1024), 27_452_608),
        ("swin_base", {}, (128, 256, 512, 512), 59_438_456),
    ],
)
def test_published_encoders_have_their_channels_and_parameters(name, options, channels, count):
    with torch.device("meta"):
        network = encoder(name, **options)
    assert network.channels == channels
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_the_tiny_encoder_has_its_channels_and_parameters():
    network = encoder("mobilenetv2_035", freeze=False, **TINY)
    assert network.channels == (8, 16, 32, 112)
    assert sum(parameter.numel() for parameter in network.parameters()) == 250_208
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize(("name", "options"), [("mobilenetv2", {}), ("mobilenetv2_035", TINY), ("test_swin", SMALL_SWIN)])
def test_maps_have_strides_4_8_16_and_16(name, options):
    network = encoder("swin_tiny_patch4_window7_224" if name == "test_swin" else name, **options).eval()
    odd = 0 if name == "test_swin" else 1
    height, width = 48 + odd, 80 + odd

    maps = network(torch.randn(2, 3, height, width))

    expected = [((height - odd) // stride + odd, (width - odd) // stride + odd) for stride in (4, 8, 16, 16)]
    assert [(found.shape[2], found.shape[3]) for found in maps] == expected
    assert tuple(found.shape[1] for found in maps) == network.channels


def test_a_network_of_other_strides_is_refused():
    with pytest.raises(ValueError, match=r"encoder\.options: .*'mobilenetv2_035'.*strides \(4, 8, 16, 32\).*\(4, 8, 16, 16\)"):
        encoder("mobilenetv2_035", out_indices=[1, 2, 3, 4])


@pytest.mark.parametrize("name", ["mobilenetv2", "resnet50"])
def test_batch_norms_are_constants_also_in_training(name):
    # given
    network = encoder(name)
    image = torch.randn(2, 3, 65, 65)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.no_grad():
        expected = network.eval()(image)
    # when
    found = network.train()(image)
    sum(each.mean() for each in found).backward()
    # then
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
    norms = [module for module in network.modules() if isinstance(module, FrozenBatchNorm)]
    assert norms
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert all(norm.eps == 1e-5 and not list(norm.parameters()) for norm in norms)


@pytest.mark.parametrize("name", ["mobilenetv2", "resnet50"])
def test_a_random_frozen_network_has_no_silent_branch(name):
    network = encoder(name)
    assert all(bool((module.weight == 1).all()) for module in network.modules() if isinstance(module, FrozenBatchNorm))


@pytest.mark.parametrize(
    ("name", "options", "still", "moves"),
    [
        ("mobilenetv2", {}, ["conv_stem", "blocks.0", "blocks.1"], ["blocks.2", "blocks.6", "conv_head"]),
        ("resnet50", {}, ["conv1", "layer1"], ["layer2", "layer3"]),
        (
            "swin_tiny_patch4_window7_224",
            SMALL_SWIN,
            ["patch_embed", "layers_0"],
            ["layers_1.downsample", "layers_1.blocks", "layers_2"],
        ),
    ],
)
def test_the_stem_and_the_stage_of_stride_4_do_not_learn(name, options, still, moves):
    # given
    network = encoder(name, **options).train()
    # when
    sum(each.square().mean() for each in network(torch.randn(1, 3, 64, 64))).backward()
    # then
    without = {key for key, parameter in network.named_parameters() if parameter.grad is None}
    frozen = {key for key, parameter in network.named_parameters() if not parameter.requires_grad}
    assert without == frozen
    for part in still:
        assert {key for key, _ in network.named_parameters() if f"net.{part}." in key} <= frozen
    for part in moves:
        assert {key for key, _ in network.named_parameters() if f"net.{part}." in key}.isdisjoint(frozen)


def test_a_batch_of_two_equals_two_runs_in_training():
    network = encoder("mobilenetv2").train()
    image = torch.randn(2, 3, 49, 65)
    together = network(image)
    for row in range(2):
        for one, other in zip(together, network(image[row : row + 1]), strict=True):
            torch.testing.assert_close(one[row : row + 1], other, rtol=1e-4, atol=1e-4)


def by_loops(block: SwinTransformerBlock, x: Tensor) -> Tensor:
    """The attention of a block of window 7 and shift 3 for one map (h, w, C), token by token.

    On the padded grid, the token at (y, x) of the rolled map is the one at (y + 3, x + 3), modulo the grid; it "came round"
    along an axis where the modulo was needed. Tokens of one window attend to each other, but one that came round and one
    that did not are 100 further apart.
    """
    attention = block.attn
    heads, (height, width, channels) = attention.num_heads, x.shape
    extent = (-(-height // 7) * 7, -(-width // 7) * 7)
    grid = torch.zeros(*extent, channels)
    grid[:height, :width] = block.norm1(x)
    parts = attention.qkv(grid).view(*extent, 3, heads, channels // heads)
    result = torch.zeros(*extent, channels)
    for top, left in itertools.product(range(0, extent[0], 7), range(0, extent[1], 7)):
        places = []
        for y, x_ in itertools.product(range(top, top + 7), range(left, left + 7)):
            shifted = (y + 3, x_ + 3)
            round_ = (shifted[0] >= extent[0], shifted[1] >= extent[1])
            places.append(((y, x_), (shifted[0] % extent[0], shifted[1] % extent[1]), round_))
        for (y, x_), own, own_round in places:
            query = parts[own][0] * (channels // heads) ** -0.5
            score = torch.stack(
                [
                    (query * parts[other][1]).sum(-1)
                    + attention.relative_position_bias_table[(y - y2 + 6) * 13 + (x_ - x2 + 6)]
                    - (100.0 if other_round != own_round else 0.0)
                    for (y2, x2), other, other_round in places
                ]
            )
            value = torch.stack([parts[other][2] for _, other, _ in places])
            result[own] = (score.softmax(0)[..., None] * value).sum(0).flatten()
    return attention.proj(result)[:height, :width]


@torch.no_grad()
def test_a_shifted_block_equals_plain_loops():
    torch.manual_seed(0)
    block = SwinTransformerBlock(8, (28, 28), num_heads=2, window_size=7, shift_size=3).eval()
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    x = torch.randn(9, 12, 8)
    middle = x + by_loops(block, x)
    torch.testing.assert_close(Block(block)(x[None])[0], middle + block.mlp(block.norm2(middle)), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_swin_is_timms_where_the_windows_fill_the_map_and_only_there():
    # given
    ours = small_swin()
    theirs = timm.create_model("swin_tiny_patch4_window7_224", features_only=True, strict_img_size=False, **SMALL_SWIN).eval()
    theirs.load_state_dict(ours.net.state_dict())

    def far(height: int, width: int) -> float:
        image = torch.randn(1, 3, height, width)
        return max(float((one - other).abs().max()) for one, other in zip(ours.net(image), theirs(image), strict=True))

    assert far(112, 224) < 1e-5
    assert far(128, 160) > 1e-2


@torch.no_grad()
def test_each_map_of_swin_goes_through_a_norm_of_its_own():
    swin = small_swin()
    image = torch.randn(1, 3, 64, 96)
    for number, (plain, found) in enumerate(zip(swin.net(image), swin(image), strict=True)):
        norm = swin.get_submodule(f"norm{number}")
        expected = F.layer_norm(plain, (plain.shape[-1],), norm.weight, norm.bias, 1e-5).permute(0, 3, 1, 2)
        torch.testing.assert_close(found, expected)


def test_drop_path_grows_linearly_over_all_24_blocks():
    with torch.device("meta"):
        network = encoder("swin_base", drop_path=0.3)
    blocks = [module for module in network.modules() if isinstance(module, Block)]
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in blocks]
    # The last two are in the stage that is left out; the first two belong to the frozen one, which drops nothing.
    assert rates == pytest.approx([0.0, 0.0] + [0.3 * number / 23 for number in range(2, 22)])
