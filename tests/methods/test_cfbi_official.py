"""Public files of CFBI and CFBI+ beyond the one there is a golden of: other depths, the network without a neck, DeepLab alone."""

import pytest
import torch
from torch import Tensor, nn

from tests.goldens import needs_golden, official_shapes
from tests.methods.cfbi_cases import cfbi
from vosbench.methods.cfbi_fgstm.official import converted, placed, recognised

NAME = "cfbip_r101"
BLOCK = ("GCT1.alpha", "GCT1.gamma", "GCT1.beta", *(f"{part}{i}.weight" for i in (1, 2, 3) for part in ("conv", "bn")))
NORMS = [f"bn{i}.bias" for i in (1, 2, 3)]
SHORTCUT = ["downsample.0.weight", "downsample.1.weight", "downsample.1.bias"]
WIDENED = (1, 3, 6)  # of the eight blocks of CFBI: shapes change there
ALIASES = {"seperate_conv": "0", "bn1": "1", "embedding_conv": "3", "bn2": "4"}


def without_neck(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """CFBI's keys from those of CFBI+, with the shapes of our network."""
    kept = {
        key: shape
        for key, shape in shapes.items()
        if not key.startswith(("fpn.", "dynamic_seghead.S", "dynamic_seghead.ASPP_IA"))
    }
    own = [
        f"dynamic_seghead.layer{n}.{name}" for n in range(1, 9) for name in (*BLOCK, *NORMS, *(SHORTCUT if n in WIDENED else []))
    ]
    own += [f"dynamic_seghead.IA{n}.IA.{name}" for n in range(1, 10) for name in ("weight", "bias")]
    own += [f"{layer}.{name}" for layer in ("dynamic_prehead.conv", "dynamic_prehead.bn") for name in ("weight", "bias")]
    own += [f"semantic_embedding.{place}.{name}" for place in (0, 1, 3, 4) for name in ("weight", "bias")]
    network = paper("neck=none").state_dict()
    ours = {key: placed(key) for key in [*kept, *own]}
    made = {key: tuple(network[name].shape) for key, name in ours.items() if name is not None}
    return made | {f"{alias}.{name}": (1,) for alias in ALIASES for name in ("weight", "bias")}


def with_depth(shapes: dict[str, tuple[int, ...]], blocks: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """The keys of a residual network with fewer blocks in stages 2 and 3."""
    allowed = {f"feature_extracter.backbone.layer{stage}.{n}." for stage, count in enumerate(blocks, 1) for n in range(count)}
    return {
        key: shape for key, shape in shapes.items() if ".layer" not in key or "seghead" in key or key.startswith(tuple(allowed))
    }


def paper(*changes: str) -> nn.Module:
    with torch.device("meta"):
        return cfbi("backbone.pretrained=null", *changes, size="paper")


def assert_fills(shapes: dict[str, tuple[int, ...]], name: str, *changes: str) -> None:
    """The file is recognised, and each weight of the network that is named has exactly one source of its shape."""
    official = recognised(shapes)
    assert official is not None
    assert official.name == name
    assert set(changes) <= {word.removeprefix("method.") for word in official.overrides}
    found = converted({key: torch.empty(shape, device="meta") for key, shape in shapes.items()})
    wanted = paper(*changes).state_dict()
    assert found.unplaced == []
    assert {key: x.shape for key, x in found.weights.items()} == {key: x.shape for key, x in wanted.items()}


@needs_golden(NAME)
def test_a_shallower_backbone_has_a_place_for_every_key():
    shapes = with_depth(official_shapes(NAME), (3, 4, 6, 3))
    assert_fills(shapes, "CFBI+, ResNet-50", "backbone.name=resnet50.tv_in1k")


@needs_golden(NAME)
def test_the_network_without_a_neck_has_a_place_for_every_key_but_its_second_names():
    shapes = without_neck(official_shapes(NAME))
    assert_fills(shapes, "CFBI, ResNet-101", "neck=none")
    ignored = converted({key: torch.empty(shape, device="meta") for key, shape in shapes.items()}).ignored
    assert {key.split(".")[0] for key in ignored} == set(ALIASES)


@needs_golden(NAME)
def test_both_differences_at_once():
    shapes = with_depth(without_neck(official_shapes(NAME)), (3, 4, 6, 3))
    assert_fills(shapes, "CFBI, ResNet-50", "neck=none", "backbone.name=resnet50.tv_in1k")


@pytest.mark.parametrize(
    "shapes", [{}, {"fpn.toplayer.0.weight": (1,)}, {"feature_extracter.backbone.layer3.0.conv3.weight": (1,)}]
)
def test_other_files_are_not_taken_for_one(shapes):
    assert recognised(shapes) is None


def deeplab_file() -> dict[str, Tensor]:
    """A DeepLabV3+ with the backbone of the small form, under public names."""
    network = cfbi()
    words = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    layers = [f"aspp.aspp{i}.{part}" for i in (1, 2, 3, 4) for part in ("atrous_conv", "bn")]
    layers += ["aspp.global_avg_pool.1", "aspp.global_avg_pool.2", "aspp.conv1", "aspp.bn1", "decoder.conv1", "decoder.bn1"]
    layers += [f"decoder.last_conv.{place}" for place in (0, 1, 4, 5)]
    state = {key: x for key, x in network.state_dict().items() if key.startswith(("backbone.", "deeplab."))}
    file = {
        f"backbone.{key.removeprefix('backbone.trunk.')}": torch.rand_like(x.float())
        for key, x in state.items()
        if "trunk" in key
    }
    for key in (f"{layer}.{word}" for layer in layers for word in words):
        own = state.get(placed(f"feature_extracter.{key}"))
        if own is not None:
            file[key] = torch.rand_like(own.float())
    return file


def test_a_deeplab_fills_backbone_pyramid_and_decoder(tmp_path):
    file = deeplab_file()
    classifier = {"decoder.last_conv.8.weight": torch.zeros(21, 48, 1, 1)}
    torch.save(
        {"state_dict": {f"module.{key}": x for key, x in (file | classifier).items()}, "epoch": 3}, tmp_path / "deeplab.pth"
    )
    method = cfbi(f"deeplab.pretrained={tmp_path / 'deeplab.pth'}")
    filled = {key: x for key, x in method.state_dict().items() if key.startswith(("backbone.", "deeplab."))}
    for key, tensor in file.items():
        own = filled.pop(placed(f"feature_extracter.{key}"))
        assert torch.equal(own.float(), tensor if own.is_floating_point() else tensor.long().float()), key
    assert filled == {}


def test_a_deeplab_that_does_not_fit_is_refused_with_what_is_missing(tmp_path):
    file = deeplab_file()
    file.pop("aspp.conv1.weight")
    torch.save(file, tmp_path / "half.pth")
    with pytest.raises(Exception, match=r"1 weights are missing: deeplab\.aspp\.project\.conv\.weight"):
        cfbi(f"deeplab.pretrained={tmp_path / 'half.pth'}")


def test_a_deeplab_that_is_not_there_is_named():
    with pytest.raises(Exception, match=r"method\.deeplab\.pretrained=/nowhere\.pth: there is no such file"):
        cfbi("deeplab.pretrained=/nowhere.pth")
