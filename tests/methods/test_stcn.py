"""STCN: the public code's numbers, its weights by their names, and its memory."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.goldens import fill, manifest, needs_golden, official_shapes, official_state, outputs
from tests.methods.built import built
from tests.methods.stma_cases import block, clip, frames, stream, two_objects, with_late
from vosbench.errors import ConfigError
from vosbench.inference.session import Session
from vosbench.layers.frame_bank import ORDINARY, PERMANENT, TEMPORARY
from vosbench.layers.trunk import TrunkOptions
from vosbench.layers.value_encoder import ValueEncoder
from vosbench.methods.method import Method
from vosbench.methods.stcn.official import converted, recognised

AT_RANDOM = ("method.key_trunk.pretrained=false", "method.value_trunk.pretrained=false")
UNBOUNDED = ("method.memory.top_k=null", "method.memory.max_frames=null")


def stcn(*changes: str, seed: int = 0) -> Method:
    """The tiny form with dotted changes below `method`."""
    return built("stcn", *[f"method.{change}" for change in changes], seed=seed).eval()


def official(*changes: str) -> Method:
    """The published form with the golden's weights."""
    method = built("stcn", "size=paper", *AT_RANDOM, *changes)
    method.load_state_dict(converted(official_state("stcn")).weights)
    return method


def video(first: int, length: int, height: int = 128, width: int = 160) -> list:
    return [fill().image(first + t, height, width) for t in range(length)]


def assert_labels(session: Session, prob: Tensor, label: Tensor) -> None:
    """Equal wherever the two best planes are not a toss-up."""
    best = prob.topk(2, dim=0).values
    clear = (best[0] - best[1] > 1e-3).numpy()
    assert (session.label_map(prob)[clear] == label.numpy()[clear]).all()


@needs_golden("stcn")
def test_the_golden_of_two_objects():
    golden, session = outputs("stcn"), Session(official("method.memory.every=2"))
    mask = golden["mask"].numpy()
    for t, image in enumerate(video(100, 5)):
        prob = session.step(image, {1: mask == 1, 2: mask == 2} if t == 0 else None)
        torch.testing.assert_close(prob, golden["prob"][t], rtol=0, atol=1e-4)
        assert_labels(session, prob, golden["label"][t])
        if t == 0:
            bank = session.memory.frames
            key, value = (
                bank.key[0, 0, 0].T.unflatten(1, (8, 10)),
                bank.value[0, 0, 0].permute(1, 2, 0)[:, ::8].unflatten(2, (8, 10)),
            )
            torch.testing.assert_close(key, golden["key0"], rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(value, golden["value0"], rtol=1e-4, atol=1e-4)


@needs_golden("stcn")
def test_the_golden_of_padded_frames_with_the_last_one_in_memory():
    golden, session = outputs("stcn"), Session(official("method.memory.every=2", "method.memory.include_last=true"))
    mask = golden["pad_mask"].numpy()
    for t, image in enumerate(video(200, 4, 100, 150)):
        prob = session.step(image, {number: mask == number for number in (1, 2, 3)} if t == 0 else None)
        assert_labels(session, prob, golden["pad_label"][t])
    torch.testing.assert_close(prob, golden["pad_prob3"], rtol=0, atol=1e-4)


@needs_golden("stcn")
def test_the_golden_of_a_late_object():
    golden, session = outputs("stcn"), Session(official("method.memory.every=2"))
    prompts = {0: {1: golden["late_mask0"].numpy() > 0}, 2: {2: golden["late_mask2"].numpy() > 0}}
    for t, image in enumerate(video(100, 7)):
        prob = session.step(image, prompts.get(t))
        assert_labels(session, prob, golden["late_label"][t])
        if f"late_prob{t}" in golden:
            torch.testing.assert_close(prob, golden[f"late_prob{t}"], rtol=0, atol=1e-4)
    held = session.memory.frames.held(session.memory.born, None)[0]
    assert [sum(row) for row in held] == [4, 3]  # 0, 2, 4, 6; the public code leaves out the last frame of all


@needs_golden("stcn")
def test_every_key_of_the_public_weights_has_its_place():
    with torch.device("meta"):
        method = built("stcn", "size=paper", *AT_RANDOM)
    result = converted({key: torch.zeros(shape, device="meta") for key, shape in official_shapes("stcn").items()})
    assert {key: tensor.shape for key, tensor in result.weights.items()} == {k: t.shape for k, t in method.state_dict().items()}
    assert (result.unplaced, result.ignored) == ([], {})
    assert sum(parameter.numel() for parameter in method.parameters()) == manifest("stcn")["parameters"]


def made_up(planes: int) -> dict[str, Tensor]:
    names = ("key_encoder.conv1.weight", "key_encoder.res2.0.conv1.weight", "key_proj.key_proj.weight", "key_comp.weight")
    return {**dict.fromkeys(names, torch.ones(1)), "decoder.compress.conv1.weight": torch.ones(1)} | {
        "value_encoder.conv1.weight": torch.ones(2, planes, 1, 1)
    }


@pytest.mark.parametrize(("planes", "name"), [(5, "STCN"), (4, "STCN (stage 0, still images)")])
def test_published_weights_are_recognised_by_their_keys(planes, name):
    found = recognised({key: tuple(tensor.shape) for key, tensor in made_up(planes).items()})
    assert found is not None
    assert (found.name, found.words) == (name, "+method=stcn size=paper")


def test_weights_of_other_networks_are_not_recognised():
    assert recognised({}) is None
    assert recognised({"key_encoder.conv1.weight": (1,), "value_encoder.conv1.weight": ()}) is None


def test_weights_of_the_stage_for_still_images_know_of_no_other_objects():
    first = converted(made_up(4)).weights["value_encoder.trunk.net.conv1.weight"]
    assert first[0, :, 0, 0].tolist() == [1, 1, 1, 1, 0]


def test_a_key_without_a_place_is_listed():
    assert converted({"decoder.extra.weight": torch.zeros(1)}).unplaced == ["decoder.extra.weight"]


def test_a_training_clip_equals_streaming_with_every_frame_stored():
    method, sample = stcn("memory.every=1", *[change.removeprefix("method.") for change in UNBOUNDED]), clip(5)
    with torch.no_grad():
        trained, streamed = method.train()(sample), method.eval()(sample)
    for one, other in zip(trained, streamed, strict=True):
        torch.testing.assert_close(one.prob, other.prob, rtol=0, atol=1e-5)


def test_clips_of_a_batch_do_not_see_each_other():
    method, sample = stcn(), clip(4)
    with torch.no_grad():
        both = [step.prob for step in method(sample)]
        for place in (0, 1):
            alone = type(sample)(
                sample.image[place : place + 1],
                sample.label_map[place : place + 1],
                sample.present[place : place + 1],
                sample.sequence[place : place + 1],
                sample.frame_names[place : place + 1],
            )
            for t, step in enumerate(method(alone)):
                torch.testing.assert_close(step.prob, both[t][place : place + 1], rtol=0, atol=1e-5)


def test_objects_in_passes_are_the_same_objects():
    at_once, _ = stream(stcn(), frames(8), with_late(), 3)
    in_passes, _ = stream(stcn("objects_per_pass=1"), frames(8), with_late(), 3)
    for one, other in zip(at_once, in_passes, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_frames_are_stored_when_given_and_every_so_often():
    _, memories = stream(stcn("memory.every=3", "memory.max_frames=null"), frames(12), with_late(), 3)
    # a third object enters in frame 4, and the interval begins anew there
    assert memories[-1].frames.kinds == [PERMANENT, ORDINARY, PERMANENT, ORDINARY, ORDINARY]
    assert [memory.last_write for memory in memories] == [0, 0, 0, 3, 4, 4, 4, 7, 7, 7, 10, 10]


def test_the_frame_before_is_kept_for_one_step():
    _, memories = stream(stcn("memory.every=3", "memory.include_last=true"), frames(5), two_objects(), 2)
    assert [memory.frames.kinds for memory in memories] == [
        [PERMANENT],
        [PERMANENT, TEMPORARY],
        [PERMANENT, TEMPORARY],
        [PERMANENT, ORDINARY],
        [PERMANENT, ORDINARY, TEMPORARY],
    ]


def test_the_bound_holds_and_does_nothing_before_it_is_reached():
    video = frames(24)
    bounded, memories = stream(stcn("memory.every=2", "memory.max_frames=4"), video, two_objects(), 2)
    free, _ = stream(stcn("memory.every=2", "memory.max_frames=null"), video, two_objects(), 2)
    assert max(len(memory.frames.numbers) for memory in memories) == 4
    assert all(memory.frames.kinds[0] == PERMANENT and memory.frames.numbers[0] == 0 for memory in memories)
    # frames 0, 2, 4, 6 are the first four
    assert all(torch.equal(one, other) for one, other in zip(bounded[:9], free[:9], strict=True))
    assert float((bounded[9] - free[9]).abs().max()) > 0


def test_a_new_mask_of_a_known_object_is_stored_for_good():
    prompts = {0: {0: block((4, 24), (6, 30))}, 3: {0: block((20, 40), (20, 50))}}
    probs, memories = stream(stcn(), frames(5), prompts, 1)
    assert memories[-1].frames.kinds == [PERMANENT, PERMANENT]
    assert float(probs[3][0, 1, 30, 40]) > 0.999
    assert float(probs[3][0, 1, 10, 10]) < 0.001


def test_top_k_is_for_inference_only():
    video, prompts = frames(3), two_objects()
    two, _ = stream(stcn("memory.top_k=2"), video, prompts, 2)
    every, _ = stream(stcn("memory.top_k=1000"), video, prompts, 2)
    full, _ = stream(stcn("memory.top_k=null"), video, prompts, 2)
    trained, _ = stream(stcn("memory.top_k=2").train(), video, prompts, 2)
    torch.testing.assert_close(every[1], full[1])
    torch.testing.assert_close(trained[1], full[1])
    assert float((two[1] - full[1]).abs().max()) > 1e-4


def test_batch_norm_keeps_its_statistics_in_training_and_learns_its_gains():
    options = TrunkOptions("resnet18", {"layers": [1, 1, 1], "channels": [8, 8, 8]}, None)
    encoder = ValueEncoder(options, 6, 8, biases=True).train()
    before = [buffer.clone() for buffer in encoder.buffers()]
    maps = encoder.fuser.of_frame(torch.rand(1, 6, 2, 2))
    encoder(torch.rand(2, 3, 32, 32), torch.rand(2, 1, 32, 32), torch.rand(2, 1, 32, 32), maps, torch.tensor([0, 0]))
    assert len(before) > 0
    assert all(torch.equal(old, new) for old, new in zip(before, encoder.buffers(), strict=True))
    assert encoder.trunk.net.bn1.weight.requires_grad


def test_mixed_precision_gives_finite_results():
    method, sample = stcn(), clip(3)
    for mode in (True, False):
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            steps = method.train(mode)(sample)
        assert steps[-1].prob.dtype == torch.float32
        assert torch.isfinite(steps[-1].prob).all()


def test_the_tiny_form_learns_a_clip():
    sample, method = clip(3), stcn().train()
    optimizer = torch.optim.Adam(method.parameters(), lr=1e-3)
    losses = []
    for _ in range(15):
        steps = method(sample)
        loss = sum(F.cross_entropy(steps[t].logits, sample.label_map[:, t]) for t in (1, 2)) / 2
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(method.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize(("change", "message"), [
    ("memory.every=0", r"method\.memory\.every=0: must be at least 1"),
    ("memory.max_frames=1", r"method\.memory\.max_frames=1: must be at least 2"),
    ("memory.kernel_sigma=0.0", r"method\.memory\.kernel_sigma=0.0"),
    ("objects_per_pass=0", r"method\.objects_per_pass=0"),
    ("decoder_dims=[8,8]", r"method\.decoder_dims=\[8, 8\]"),
])  # fmt: skip
def test_settings_that_cannot_be_are_named(change, message):
    with pytest.raises(ConfigError, match=message):
        stcn(change)
