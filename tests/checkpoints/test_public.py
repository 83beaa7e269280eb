"""Published weights: recognised by their keys, sorted out by rule, loaded completely or refused in one sentence."""

import logging
import pkgutil
import re

import pytest
import torch

import vosbench
from tests import goldens
from tests.checkpoints.aot_keys import official_shapes, official_state
from tests.goldens import needs_golden
from tests.methods.built import built, composed
from vosbench.checkpoints.load import load, load_into, receive, without_pretrained
from vosbench.checkpoints.public import families, recognised
from vosbench.configuration.targets import build
from vosbench.errors import CheckpointError
from vosbench.methods.aot_capa import official as aot_official
from vosbench.methods.method import Method
from vosbench.methods.official import sorted_out

AOT = [
    # encoder, blocks, decoupled, name, variant
    ("mobilenetv2", 1, False, "AOT-T", "aot_t"),
    ("mobilenetv2", 2, False, "AOT-S", "aot_s"),
    ("mobilenetv2", 3, False, "AOT-L or AOT-B", "aot_l"),
    ("resnet50", 3, False, "R50-AOT-L", "r50_aotl"),
    ("resnet101", 3, False, "R101-AOT-L", "r101_aotl"),
    ("swin_base", 3, False, "SwinB-AOT-L", "swinb_aotl"),
    ("mobilenetv2", 1, True, "DeAOT-T", "deaot_t"),
    ("mobilenetv2", 2, True, "DeAOT-S", "deaot_s"),
    ("mobilenetv2", 3, True, "DeAOT-L or DeAOT-B", "deaot_l"),
    ("resnet50", 3, True, "R50-DeAOT-L", "r50_deaotl"),
    ("swin_base", 3, True, "SwinB-DeAOT-L", "swinb_deaotl"),
]
GOLDENS = [pytest.param(name, marks=needs_golden(name)) for name in ("aot_t", "r50_aotl", "stcn", "cfbip_r101")]
SMALLEST = ("mobilenetv2", 1)


def small_file(**more: torch.Tensor) -> dict:
    """AOT-T as its authors save it: under `state_dict`, out of data-parallel training."""
    state = official_state(*SMALLEST, decoupled=False) | more
    return {"state_dict": {f"module.{key}": tensor for key, tensor in state.items()}, "epoch": 3}


def network(name: str, *overrides: str) -> Method:
    return build(without_pretrained(build_call(name, *overrides)))


def build_call(name: str, *overrides: str) -> dict:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(composed(name, *overrides).method, resolve=True)


@pytest.mark.parametrize(("encoder", "blocks", "decoupled", "name", "variant"), AOT)
def test_every_variant_of_aot_is_recognised_and_has_a_place_for_every_key(encoder, blocks, decoupled, name, variant):
    # given
    shapes = official_shapes(encoder, blocks, decoupled=decoupled)
    # when
    official = aot_official.recognised(shapes)
    assert official is not None
    with torch.device("meta"):
        converted = aot_official.converted({key: torch.empty(shape) for key, shape in shapes.items()})
        own = network(official.method, *official.overrides).state_dict()
    # then
    assert (official.name, official.words) == (name, f"+method=aot size=paper method.variant={variant}")
    assert converted.unplaced == []
    assert all(re.search(r"mask_token|relative_position_index", key) for key in converted.ignored)
    assert {key: tensor.shape for key, tensor in converted.weights.items()} == {key: tensor.shape for key, tensor in own.items()}


@needs_golden("aot_t")
@pytest.mark.parametrize(
    ("golden", "encoder", "blocks"),
    [("aot_t", "mobilenetv2", 1), pytest.param("r50_aotl", "resnet50", 3, marks=needs_golden("r50_aotl"))],
)
def test_the_written_down_keys_are_those_of_the_public_code(golden, encoder, blocks):
    assert official_shapes(encoder, blocks, decoupled=False) == goldens.official_shapes(golden)


@pytest.mark.parametrize("golden", GOLDENS)
def test_every_golden_is_recognised_by_one_family_and_places_every_key(golden):
    # given
    shapes = goldens.official_shapes(golden)
    # when
    found = [family for family in families() if family.recognised(shapes) is not None]
    # then
    assert len(found) == 1
    with torch.device("meta"):
        converted = found[0].converted({key: torch.empty(shape) for key, shape in shapes.items()})
    assert converted.unplaced == []
    assert len(converted.weights) + len(converted.ignored) == len(shapes)


def test_every_family_says_who_it_is_and_knows_its_own_alone():
    assert aot_official in families()
    for family in families():
        assert isinstance(family.FAMILY, str)
        for shapes in ({}, {"": ()}, {"weight": (3, 3)}, {"conv1.weight": ()}, {"LSTT.layers.x": (1,), "encoder.": (0,)}):
            assert family.recognised(shapes) is None


def test_the_order_of_the_keys_does_not_matter():
    state = official_state(*SMALLEST, decoupled=False)
    backwards = aot_official.converted(dict(reversed(state.items()))).weights
    torch.testing.assert_close(backwards, aot_official.converted(state).weights, rtol=0, atol=0)


def test_a_public_file_becomes_a_method(tmp_path):
    # given
    path = tmp_path / "AOTT_PRE_YTB_DAV.pth"
    torch.save(small_file(), path)
    # when
    method = vosbench.load(path)
    # then
    state = official_state(*SMALLEST, decoupled=False)
    assert isinstance(method, Method)
    assert not method.training
    assert torch.equal(method.projector.weight, state["encoder_projector.weight"])
    assert torch.equal(method.encoder.body.net.blocks[0][0].conv_pw.weight, state["encoder.features.1.conv.1.weight"])
    assert torch.equal(method.encoder.body.net.blocks[6][0].bn3.running_var, state["encoder.features.17.conv.3.running_var"])


def test_the_log_says_which_network_it_is_and_every_key_that_is_not_used(caplog):
    more = {"teacher.weight": torch.ones(2), "LSTT.layers.0.linear_X.weight": torch.ones(2)}
    with caplog.at_level(logging.INFO):
        load(small_file(**more))
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert any(level == "INFO" and "AOT-T" in text and "method.variant=aot_t" in text for level, text in said)
    assert any(level == "INFO" and "left out: LSTT.mask_token (no part of the network reads it)" in text for level, text in said)
    warning = next(text for level, text in said if level == "WARNING")
    assert "2 keys have no place" in warning
    assert "teacher.weight, LSTT.layers.0.linear_X.weight" in warning


def test_a_file_that_lacks_a_key_is_refused_in_one_sentence():
    content = small_file()
    del content["state_dict"]["module.decoder.conv_out.bias"]
    with pytest.raises(
        CheckpointError, match=r"AOT-T, which fits only .* 1 missing \(decoder\.conv_out\.bias\).*complete file"
    ) as found:
        load(content)
    assert "\n" not in str(found.value)


def test_a_foreign_file_is_refused_and_the_known_families_are_named():
    with pytest.raises(CheckpointError, match=r"does not say which network.*AOT and DeAOT \(yoxu515/aot-benchmark\)") as found:
        load({"state_dict": {"backbone.weight": torch.zeros(3)}})
    assert all(family.FAMILY in str(found.value) for family in families())


def test_a_file_for_another_network_than_the_configured_one_says_what_to_type(tmp_path):
    path = tmp_path / "aot.pth"
    torch.save(small_file(), path)
    for name, overrides in (("stma", ()), ("aot", ("size=paper", "method.variant=aot_s"))):
        with pytest.raises(CheckpointError, match=r"aot\.pth: holds AOT-T.*say \+method=aot size=paper method\.variant=aot_t"):
            load_into(network(name, *overrides), path, name, "paper")


def test_a_file_for_the_configured_network_is_loaded(tmp_path):
    path = tmp_path / "aot.pth"
    torch.save(official_state("mobilenetv2", 3, decoupled=False), path)
    for variant in ("aot_b", "aot_l"):  # their weights are the same, the memory gap is not
        method = network("aot", "size=paper", f"method.variant={variant}")
        load_into(method, path, "aot", "paper")
        assert torch.equal(method.projector.weight, torch.load(path)["encoder_projector.weight"])


def test_training_starts_from_a_public_file_as_far_as_it_may():
    method = network("aot", "size=paper", "method.variant=aot_t", "method.identities=4")
    content, before = small_file(), method.decoder.conv_out.weight.clone()
    with pytest.raises(
        CheckpointError, match=r"3 mismatched \(decoder\.conv_out\.bias, decoder\.conv_out\.weight, identity_bank"
    ):
        receive(method, content, "aot.pth", 0.99)
    assert torch.equal(method.decoder.conv_out.weight, before)
    report = receive(method, content, "aot.pth", 0.0)  # allow_partial=true
    assert len(report.mismatched) == 3
    assert torch.equal(method.projector.weight, content["state_dict"]["module.encoder_projector.weight"])


def test_our_own_checkpoints_are_read_as_before():
    ours = built("stma")
    again = built("stma", seed=1)
    receive(again, {"state_dict": {f"method.{key}": value for key, value in ours.state_dict().items()}}, "last.ckpt")
    torch.testing.assert_close(again.state_dict(), ours.state_dict(), rtol=0, atol=0)


def test_a_key_that_two_published_ones_claim_goes_to_the_first():
    found = sorted_out(
        {"a.x": torch.zeros(1), "b.x": torch.ones(1), "c": torch.ones(1)}, lambda key: key[2:] or None, {"c": "old"}
    )
    assert found.weights == {"x": torch.zeros(1)}
    assert (found.unplaced, found.ignored, found.sources) == (["b.x"], {"c": "old"}, {"x": "a.x"})


def test_no_module_beside_a_package_is_taken_for_a_family():
    import vosbench.methods

    packages = [each.name for each in pkgutil.iter_modules(vosbench.methods.__path__) if each.ispkg]
    assert all(family.__name__.split(".")[-2] in packages for family in families())
    assert [recognised({}), recognised({"state_dict": 3})] == [None, None]
