"""CFBI+ with ResNet-101 against the public code's numbers, through the conversion of its weights."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.goldens import fill, needs_golden, official_shapes, official_state, outputs
from tests.methods.cfbi_cases import cfbi
from tests.methods.stma_cases import prompted
from vosbench.checkpoints.load import load
from vosbench.inference.session import Session
from vosbench.methods.cfbi_fgstm.entries import Entries
from vosbench.methods.cfbi_fgstm.network import CFBI
from vosbench.methods.cfbi_fgstm.official import converted
from vosbench.methods.cfbi_fgstm.pooling import mean_inside_and_outside
from vosbench.methods.method import Masks, Prediction, Step

NAME, SIZE = "cfbip_r101", (129, 161)
pytestmark = needs_golden(NAME)
LOGITS, PROB, MARGIN = 5e-3, 1e-3, 1e-3


@pytest.fixture(scope="module")
def published() -> Callable[..., CFBI]:
    """CFBI+ with the golden's weights and dotted changes."""
    weights = converted(official_state(NAME)).weights

    def build(*changes: str) -> CFBI:
        with torch.device("meta"):
            method = cfbi("backbone.pretrained=null", *changes, size="paper")
        method.load_state_dict(weights, strict=False, assign=True)
        rest = [name for name, tensor in method.state_dict().items() if tensor.is_meta]
        assert rest == []
        method.mean, method.deviation = (torch.tensor(x)[:, None, None] for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        method._anchor = torch.empty(0)
        return method.eval()

    return build


@pytest.fixture(scope="module")
def frames() -> list[Tensor]:
    return [torch.from_numpy(fill().image(100 + t, *SIZE)).permute(2, 0, 1)[None] for t in range(4)]


def planes(*objects: int) -> dict[int, Tensor]:
    """Masks of the golden's objects by channel."""
    label_map = torch.from_numpy(fill().mask(7, *SIZE, 2))
    return {number - 1: (label_map == number).float() for number in objects}


@torch.no_grad()
def run(method: CFBI, frames: list[Tensor], prompts: dict[int, dict[int, Tensor]], objects: int) -> list[Step]:
    """Frames propagated; the object axis grows with the prompts."""
    memory, steps = None, []
    for t, frame in enumerate(frames):
        channels = max((channel + 1 for when, given in prompts.items() if when <= t for channel in given), default=objects)
        if memory is None:
            memory = method.start(1, channels, SIZE)
        elif channels > memory.objects:
            memory = method.grow(memory, channels)
        entering = prompted(prompts[t], channels, SIZE) if t in prompts else None
        steps.append(method.step(method.encode(frame), memory, t, entering))
        memory = steps[-1].memory
    return steps


def assert_same_labels(prob: Tensor, label_map: Tensor) -> None:
    """Labels agree wherever the two largest probabilities are apart."""
    first, second = prob.topk(2, dim=0).values
    assert torch.equal(prob.argmax(0)[first - second > MARGIN], label_map.long()[first - second > MARGIN])


def test_the_base_case(published, frames):
    golden, method = outputs(NAME), published()
    steps = run(method, frames[:3], {0: planes(1, 2)}, 2)
    for t in (1, 2):
        torch.testing.assert_close(steps[t].prediction.logits[0], golden["base_logits"][t - 1], rtol=0, atol=LOGITS)
        torch.testing.assert_close(steps[t].prob[0], golden["base_prob"][t - 1], rtol=0, atol=PROB)
        assert_same_labels(steps[t].prob[0], golden["base_label"][t - 1])


def test_the_intermediate_maps(published, frames):
    golden, method = outputs(NAME), published()
    with torch.no_grad():
        first, second = method.encode(frames[0]), method.encode(frames[1])
        memory = run(method, frames[:1], {0: planes(1, 2)}, 2)[0].memory
        entries, bias = Entries.of(memory.known), method.bias(3)
        maps = [method._maps(scale, second, memory, bias[scale], entries) for scale in range(3)]
        reference = mean_inside_and_outside(*memory.pooled_reference())[0]
        previous = mean_inside_and_outside(memory.sums, memory.numbers)[0]
    found = {"f0_c4": first.fine[0, :8]}
    found |= {f"f0_x{stride}": x[0, :8] for stride, x in zip((4, 8, 16), first.embedding, strict=True)}
    found |= {f"f1_match_x{stride}": x for stride, x in zip((4, 8, 16), maps, strict=True)}
    found["f1_head_x4"] = torch.cat([reference, previous], 1)
    for name, x in found.items():
        torch.testing.assert_close(x, golden[name], rtol=0, atol=1e-4, msg=lambda message, name=name: f"{name}: {message}")


def test_sub_sampling_that_spares_small_objects(published, frames):
    golden, method = outputs(NAME), published("matching.min_pixels=100")
    steps = run(method, frames[:3], {0: planes(1, 2)}, 2)
    reference = mean_inside_and_outside(*steps[0].memory.pooled_reference())[0]
    torch.testing.assert_close(reference, golden["minpix_f1_head_x4"][:, : reference.shape[1]], rtol=0, atol=1e-4)
    for t in (1, 2):
        torch.testing.assert_close(steps[t].prediction.logits[0], golden["minpix_logits"][t - 1], rtol=0, atol=LOGITS)
        assert_same_labels(steps[t].prob[0], golden["minpix_label"][t - 1])


def test_an_object_that_joins_later(published, frames):
    golden, method = outputs(NAME), published()
    late = run(method, frames, {0: planes(1), 1: planes(2)}, 1)
    assert len(late[1].memory.references) == 2
    torch.testing.assert_close(late[1].prediction.logits[0, :2], golden["join_logits_1"], rtol=0, atol=LOGITS)
    for t in (2, 3):
        torch.testing.assert_close(late[t].prediction.logits[0], golden[f"join_logits_{t}"], rtol=0, atol=LOGITS)
    for t in (1, 2, 3):
        assert_same_labels(late[t].prob[0], golden["join_label"][t - 1])


@pytest.mark.parametrize("late", [False, True])
def test_a_public_file_is_all_that_a_session_needs(frames, late):
    # given the colours as they come: the golden takes no notice of their order, the network of a public file turns it round
    golden, method = outputs(NAME), load({"state_dict": official_state(NAME)})
    prompts = {0: planes(1), 1: planes(2)} if late else {0: planes(1, 2)}
    session, labels = Session(method), golden["join_label" if late else "base_label"]
    assert method.channel_order == "bgr"
    for t, frame in enumerate(frames[: 1 + len(labels)]):
        given = {channel + 1: mask.numpy() for channel, mask in prompts.get(t, {}).items()}
        prob = session.step(frame[0].flip(0).permute(1, 2, 0), given)
        if t:
            assert_same_labels(prob, labels[t - 1])
        if t and not late:
            torch.testing.assert_close(prob, golden["base_prob"][t - 1], rtol=0, atol=PROB)


@torch.no_grad()
def test_the_mean_of_plain_and_mirrored(published, frames):
    # given two branches with a memory each, which remember the labels of their mean
    golden, method = outputs(NAME), published()
    branches, nothing = [method.start(1, 2, SIZE) for _ in range(2)], Prediction(torch.empty(1, 3, 0, 0))
    probs = [torch.stack([1 - sum(planes(1, 2).values()), *planes(1, 2).values()])[None]]
    for t, frame in enumerate(frames[:3]):
        seen = [method.encode(view) for view in (frame, frame.flip(3))]
        if t:
            found = [method.at_size(method.segment(x, m), SIZE).softmax(1) for x, m in zip(seen, branches, strict=True)]
            probs.append((found[0] + found[1].flip(3)) / 2)
        given = torch.full((1, 2), t == 0)
        views = [Masks(probs[t], given), Masks(probs[t].flip(3), given)]
        branches = [method.memorize(x, nothing, v, m, t) for x, v, m in zip(seen, views, branches, strict=True)]
    torch.testing.assert_close(probs[2][0], golden["flip_prob_last"], rtol=0, atol=PROB)
    for t in (1, 2):
        assert_same_labels(probs[t][0], golden["flip_label"][t - 1])


def test_every_add_on_starts_as_nothing_over_these_weights(published, frames):
    method = published()
    plain = run(method, frames[:3], {0: planes(1, 2)}, 2)
    names = ("neck=pan", "object_context=true", "head.fpa=true", "memory.scheme=b")
    both = cfbi("backbone.pretrained=null", *names, size="paper")
    assert both.load_state_dict(method.state_dict(), strict=False).unexpected_keys == []
    more = run(both, frames[:3], {0: planes(1, 2)}, 2)
    for one, other in zip(plain, more, strict=True):
        torch.testing.assert_close(one.prediction.logits, other.prediction.logits, rtol=0, atol=1e-3)


def test_entries_may_run_one_after_another(published, frames):
    golden = outputs(NAME)
    step = run(published("entries_per_pass=1"), frames[:2], {0: planes(1, 2)}, 2)[1]
    torch.testing.assert_close(step.prediction.logits[0], golden["base_logits"][0], rtol=0, atol=LOGITS)


def test_every_public_key_finds_its_place(published):
    state = official_state(NAME)
    result, network = converted(state), published()
    assert (result.ignored, result.unplaced) == ({}, [])
    assert result.weights.keys() == network.state_dict().keys()
    assert len(official_shapes(NAME)) == len(result.weights)
