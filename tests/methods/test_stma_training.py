"""STMA over training clips: the same as streaming, gradients everywhere, sizes as specified."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.methods.stma_cases import CONF, clip, frames, stma, stream, two_objects
from tests.methods.test_stma_streaming import every_ablation
from vosbench.errors import CheckpointError, ConfigError
from vosbench.methods.stma.value_encoder import ValueEncoder
from vosbench.methods.stma.weights import load_pretrained

PAPER_AT_RANDOM = ("backbone.pretrained=null", "value.pretrained=null")


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@every_ablation
def test_a_training_clip_equals_streaming_with_a_write_on_every_frame(changes):
    # given references {0, t-1}, unbounded memory, no top-k
    unbounded = (
        [] if "memory.temporal=null" in changes else ["memory.temporal.capacity_frames=null", "memory.temporal.top_k=null"]
    )
    method = stma(*changes, *unbounded, "memory.write_every=1", "ref_sampling=streaming")
    sample = clip(5)
    with torch.no_grad():
        trained = method.train()(sample)
        streamed = method.eval()(sample)
    for one, other in zip(trained, streamed, strict=True):
        torch.testing.assert_close(one.prob, other.prob, rtol=0, atol=1e-5)


@every_ablation
def test_every_parameter_gets_a_gradient_from_one_clip(changes):
    method, sample = stma(*changes).train(), clip(4)
    steps = method(sample)
    sum(F.cross_entropy(steps[t].prediction.logits, sample.label_map[:, t]) for t in (1, 2, 3)).backward()
    without = [name for name, parameter in method.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert without == []


def test_the_draw_of_references_follows_the_global_generator():
    method, sample = stma().train(), clip(5)

    def result(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        with torch.no_grad():
            return method(sample)[-1].prob

    results = [result(seed) for seed in range(6)]
    assert torch.equal(results[0], result(0))
    assert max(float((results[0] - other).abs().max()) for other in results[1:]) > 1e-5


def test_references_are_distinct_past_frames_of_the_chosen_kind():
    method, other = stma(), stma("ref_sampling=first_plus_random")
    uniform = [method.drawn(4, 2) for _ in range(30)]
    with_first = [other.drawn(4, 2) for _ in range(30)]
    assert {place for places in uniform for place in places} == {0, 1, 2, 3} == {p for places in with_first for p in places}
    assert all(len(set(places)) == 2 for places in uniform + with_first)
    assert all(places[0] == 0 for places in with_first)
    assert method.drawn(1, 2) == [0] == other.drawn(1, 2)


def test_batch_norm_keeps_its_statistics_in_training():
    options = {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8]}
    encoder = ValueEncoder(trunk="resnet18", trunk_options=options, pretrained=False, dim=6, token_dim=4).train()
    before = [buffer.clone() for buffer in encoder.buffers()]
    encoder(torch.rand(2, 3, 32, 32), torch.rand(2, 1, 32, 32), torch.rand(2, 1, 32, 32), torch.rand(2, 4, 2, 2))
    assert len(before) > 0
    assert all(torch.equal(old, new) for old, new in zip(before, encoder.buffers(), strict=True))
    assert encoder.trunk.bn1.weight.requires_grad
    assert encoder.fuse.training


TINY = {"stem": 30_080, "stml": 150_080, "value": 200_631, "object": 18_272, "key": 19_041, "decoder": 328_712}
PAPER = {"stem": 6_487_168, "stml": 77_968_128, "value": 19_340_099, "object": 1_036_160, "key": 891_777, "decoder": 25_402_756}
VIT = {**PAPER, "stem": 5_312_256, "stml": 85_056_000, "decoder": 25_992_580}


@pytest.mark.parametrize(("size", "change", "parts", "total"), [
    ("tiny", (), TINY, 746_816),
    ("paper", PAPER_AT_RANDOM, PAPER, 131_126_088),
    ("paper", (*PAPER_AT_RANDOM, "backbone.name=vit_b"), VIT, 137_628_872),
])  # fmt: skip
def test_parts_have_the_published_number_of_parameters(size, change, parts, total):
    with torch.device("meta"):
        method = stma(*change, size=size)
    assert {name: count(part) for name, part in method.named_children()} == parts
    assert count(method) == total
    assert all(parameter.requires_grad for parameter in method.parameters())


@pytest.mark.parametrize(("size", "change", "total"), [
    ("tiny", "object.enabled=false", 728_544),
    ("tiny", "memory.temporal=null", 651_999),
    ("tiny", "memory.spatial=null", 746_816),
    ("tiny", "stml.mode=joint", 746_816),
    ("paper", "object.enabled=false", 130_089_928),
    ("paper", "memory.temporal=null", 125_713_095),
    ("paper", "memory.spatial=null", 131_126_088),
    ("paper", "stml.mode=joint", 131_126_088),
])  # fmt: skip
def test_ablations_have_the_specified_number_of_parameters(size, change, total):
    with torch.device("meta"):
        method = stma(change, *PAPER_AT_RANDOM, size=size)
    assert count(method) == total


def test_without_spatial_and_temporal_memory_there_is_nothing_to_build():
    with pytest.raises(Exception, match="no place is left that knows the masks"):
        stma("memory.spatial=null", "memory.temporal=null")


def convmae_file() -> dict[str, torch.Tensor]:
    """Weights under the reference network's names, for the tiny widths; what STMA has no use for is there, too."""
    names = {"decoder_embed.weight": (4, 4), "mask_token": (1, 1, 4), "pos_embed": (1, 36, 64), "stage1_output_decode.bias": (4,)}
    for i, (channels, before, patch) in enumerate([(16, 3, 4), (32, 16, 2), (64, 32, 2)], 1):
        names |= {f"patch_embed{i}.proj.weight": (channels, before, patch, patch), f"patch_embed{i}.proj.bias": (channels,)}
        names |= {f"patch_embed{i}.norm.weight": (channels,), f"patch_embed{i}.norm.bias": (channels,)}
    names |= {"patch_embed4.weight": (64, 64), "patch_embed4.bias": (64,), "norm.weight": (64,), "norm.bias": (64,)}
    for i, c in [(1, 16), (2, 32)]:
        shapes = {"norm1": (c,), "norm2": (c,), "conv1": (c, c, 1, 1), "conv2": (c, c, 1, 1), "attn": (c, 1, 5, 5)}
        shapes |= {"mlp.fc1": (4 * c, c, 1, 1), "mlp.fc2": (c, 4 * c, 1, 1)}
        names |= {f"blocks{i}.0.{name}.weight": shape for name, shape in shapes.items()}
        names |= {f"blocks{i}.0.{name}.bias": shape[:1] for name, shape in shapes.items()}
    for i in range(3):
        shapes = {"norm1": (64,), "attn.qkv": (192, 64), "attn.proj": (64, 64), "norm2": (64,)}
        shapes |= {"mlp.fc1": (256, 64), "mlp.fc2": (64, 256)}
        names |= {f"blocks3.{i}.{name}.weight": shape for name, shape in shapes.items()}
        names |= {f"blocks3.{i}.{name}.bias": shape[:1] for name, shape in shapes.items()}
    return {name: torch.randn(shape) for name, shape in names.items()}


def test_convmae_weights_load_by_the_reference_names(tmp_path):
    state = convmae_file()
    torch.save({"model": state, "epoch": 3}, tmp_path / "convmae.pth")
    method = stma()
    method.backbone.pretrained, method.backbone.checkpoint = "convmae", str(tmp_path / "convmae.pth")
    load_pretrained(method.stem, method.stml, method.backbone)
    assert torch.equal(method.stem.pe4.weight, state["patch_embed4.weight"])
    assert torch.equal(method.stem.b2[0].attn.weight, state["blocks2.0.attn.weight"])
    assert torch.equal(method.stml.blocks[2].mlp.fc2.bias, state["blocks3.2.mlp.fc2.bias"])
    assert torch.equal(method.stml.norm.weight, state["norm.weight"])


@pytest.mark.parametrize(("change", "message"), [
    ({"patch_embed4.bias": None}, r"missing: stem\.pe4\.bias;"),
    ({"extra.weight": torch.zeros(1)}, r"unexpected weights extra\.weight"),
    ({"norm.weight": torch.zeros(3)}, r"other shape: stml\.norm\.weight"),
])  # fmt: skip
def test_weights_that_do_not_fit_are_refused_by_name(tmp_path, change, message):
    state = {name: value for name, value in {**convmae_file(), **change}.items() if value is not None}
    torch.save(state, tmp_path / "convmae.pth")
    method = stma()
    method.backbone.pretrained, method.backbone.checkpoint = "convmae", str(tmp_path / "convmae.pth")
    with pytest.raises(CheckpointError, match=message):
        load_pretrained(method.stem, method.stml, method.backbone)


def test_mocov3_weights_load_from_below_their_prefix(tmp_path):
    state = {
        f"module.base_encoder.blocks.{k[len('blocks3.') :]}": v for k, v in convmae_file().items() if k.startswith("blocks3")
    }
    state |= {f"module.base_encoder.{name}": torch.randn(64) for name in ("norm.weight", "norm.bias", "patch_embed.proj.bias")}
    state |= {
        "module.base_encoder.patch_embed.proj.weight": torch.randn(64, 3, 16, 16),
        "module.momentum_encoder.x": torch.zeros(1),
    }
    state |= {"module.base_encoder.cls_token": torch.zeros(1), "module.base_encoder.head.0.weight": torch.zeros(1)}
    torch.save({"state_dict": state}, tmp_path / "moco.pth")
    method = stma("backbone.name=vit_b", "backbone.pos_order=yx")
    method.backbone.pretrained, method.backbone.checkpoint = "mocov3", str(tmp_path / "moco.pth")
    load_pretrained(method.stem, method.stml, method.backbone)
    assert torch.equal(method.stem.proj.weight, state["module.base_encoder.patch_embed.proj.weight"])


def test_weights_without_a_file_are_an_error_that_says_what_to_set():
    method = stma()
    method.backbone.pretrained = "convmae"
    with pytest.raises(ConfigError, match=r"method\.backbone\.checkpoint=FILE"):
        load_pretrained(method.stem, method.stml, method.backbone)


def test_the_tiny_form_learns_a_clip():
    # given one clip with two moving squares on noise
    sample, method = clip(3), stma().train()
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-3, weight_decay=0.05)
    first = last = 0.0
    for _ in range(15):
        steps = method(sample)
        loss = sum(F.cross_entropy(steps[t].prediction.logits, sample.label_map[:, t]) for t in (1, 2)) / 2
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(method.parameters(), 1.0)
        optimizer.step()
        first, last = first or float(loss.detach()), float(loss.detach())
    assert last < 0.6 * first


def test_yaml_of_both_sizes_sets_the_same_keys():
    paper, tiny = (CONF / "size" / f"stma_{size}.yaml" for size in ("paper", "tiny"))
    keys = [
        {line.split(":")[0] for line in file.read_text().splitlines() if ":" in line and line[:2] == "  " and line[2] != " "}
        for file in (paper, tiny)
    ]
    assert keys[0] == keys[1]


@pytest.mark.slow
def test_the_paper_form_trains_and_streams_on_small_frames():
    method, sample = stma(*PAPER_AT_RANDOM, size="paper").train(), clip(3)
    steps = method(sample)
    sum(F.cross_entropy(steps[t].prediction.logits, sample.label_map[:, t]) for t in (1, 2)).backward()
    # zero-initialised last norms of the residual branches keep gradients from what lies before them at first
    without = [name for name, parameter in method.named_parameters() if parameter.grad is None]
    assert without == []
    probs, _ = stream(method.eval(), frames(4), two_objects(), 2)
    torch.testing.assert_close(probs[-1].sum(1), torch.ones(1, 48, 64))


def test_batch_mixed_precision_gives_finite_results():
    method, sample = stma().train(), clip(3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        steps = method(sample)
    assert steps[-1].prob.dtype == torch.float32
    assert torch.isfinite(steps[-1].prob).all()
