"""CFBI+ and CAMN over a video: what is remembered, who is known when, and cases at the edge (specification, sections 5 and 9)."""

import pytest
import torch
from torch import Tensor

from tests.methods.cfbi_cases import SIZE, awake, cfbi, masks, stream
from tests.methods.stma_cases import block, frames, prompted
from vosbench.inference.session import Session
from vosbench.methods.cfbi_fgstm.ensembler import NEVER
from vosbench.methods.method import Masks, Prompted

FULL = ("neck=pan", "object_context=true", "head.fpa=true")
FORMS = {"cfbi": ("neck=none",), "cfbi_plus": (), "camn_a": (*FULL, "memory.scheme=a"), "camn_b": (*FULL, "memory.scheme=b")}


def video(length: int, seed: int = 1, size: tuple[int, int] = SIZE) -> Tensor:
    """Drifting noise of a legal size."""
    return torch.nn.functional.interpolate(frames(length, (64, 80), seed), size=size)


@pytest.fixture(params=FORMS)
def method(request: pytest.FixtureRequest):
    return awake(cfbi(*FORMS[request.param]))


def test_permuting_the_objects_permutes_the_answer_and_background_stays_first(method):
    straight = stream(method, video(4), {0: masks()}, 2)
    swapped = stream(method, video(4), {0: {1 - channel: mask for channel, mask in masks().items()}}, 2)
    for a, b in zip(straight, swapped, strict=True):
        torch.testing.assert_close(a.prob, b.prob[:, [0, 2, 1]], rtol=0, atol=1e-5)


def test_the_past_does_not_know_the_future_and_a_second_pass_is_identical(method):
    seen, other = video(5), video(5, seed=9)
    changed = torch.cat([seen[:3], other[3:]])
    first, again = stream(method, seen, {0: masks()}, 2), stream(method, seen, {0: masks()}, 2)
    forked = stream(method, changed, {0: masks()}, 2)
    assert all(torch.equal(a.prob, b.prob) for a, b in zip(first, again, strict=True))
    assert all(torch.equal(a.prob, b.prob) for a, b in zip(first[:3], forked[:3], strict=True))
    assert not torch.equal(first[3].prob, forked[3].prob)


@pytest.mark.parametrize("size", [(97, 97), (100, 131), (64, 33)])
def test_probabilities_are_finite_and_sum_to_one_at_the_frames_own_size(method, size):
    session = Session(method)
    for t, image in enumerate(video(3, size=size)):
        prob = session.step(image.permute(1, 2, 0), {7: block((5, 20), (6, 25), size).numpy()} if t == 0 else None)
        assert prob.shape == (2, *size)
        assert prob.isfinite().all()
        torch.testing.assert_close(prob.sum(0), torch.ones(size), rtol=0, atol=1e-5)


def test_entries_may_run_one_after_another(method):
    at_once = stream(method, video(3), {0: masks()}, 2)
    method.entries_per_pass = 1
    for a, b in zip(at_once, stream(method, video(3), {0: masks()}, 2), strict=True):
        torch.testing.assert_close(a.prob, b.prob, rtol=0, atol=1e-4)


def test_a_later_object_has_no_channel_before_and_makes_the_frame_a_second_reference(method):
    late = {0: {0: masks()[0]}, 2: {1: masks()[1]}}
    steps = stream(method, video(5), late, 2)
    for step in steps[:3]:
        assert (step.prediction.logits[:, 2] == NEVER).all()
    assert [len(step.memory.references) for step in steps] == [1, 1, 2, 2, 2]
    assert torch.equal(steps[2].prob.argmax(1)[0] == 2, masks()[1].bool())  # the given pixels as they are
    assert (steps[3].prediction.logits[:, 2] > NEVER / 2).all()


def test_pixels_that_are_not_given_keep_the_prediction(method):
    alone = stream(method, video(3), {0: {0: masks()[0]}}, 2)
    late = stream(method, video(3), {0: {0: masks()[0]}, 2: {1: masks()[1]}}, 2)
    outside = ~masks()[1].bool()
    assert torch.equal(late[2].prob[0, :, outside], alone[2].prob[0, :, outside])


def test_a_channel_that_is_not_given_changes_nothing(method):
    one = stream(method, video(3), {0: {0: masks()[0]}}, 1)
    beside = stream(method, video(3), {0: {0: masks()[0]}}, 3)
    for a, b in zip(one[1:], beside[1:], strict=True):
        torch.testing.assert_close(a.prob, b.prob[:, :2], rtol=0, atol=1e-5)


def test_nothing_known_yet_is_background_and_the_frame_becomes_the_previous_one(method):
    steps = stream(method, video(3), {1: {0: masks()[0]}}, 1)
    assert (steps[0].prob.argmax(1) == 0).all()
    assert len(steps[0].memory.embedding) > 0
    assert steps[0].memory.references == []
    assert len(stream(method, video(2), {}, 0)) == 2


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({0: torch.ones(SIZE)}, id="one object everywhere"),
        pytest.param({0: torch.ones(SIZE), 1: torch.zeros(SIZE)}, id="an object without a pixel"),
        pytest.param({0: block((0, 1), (0, 1), SIZE), 1: masks()[1]}, id="one pixel"),
    ],
)
def test_extreme_masks_stay_finite(method, given):
    for step in stream(method, video(3), {0: given}, len(given)):
        assert step.prob.isfinite().all()


def test_an_object_that_vanishes_stays_finite_and_can_come_back(method):
    steps = stream(method, video(2), {0: masks()}, 2)
    memory, features = steps[1].memory, method.encode(video(3)[2:])
    empty = torch.zeros(1, 3, *SIZE)
    empty[:, 0] = 1
    with torch.no_grad():
        nobody = Masks(empty, torch.zeros(1, 2, dtype=torch.bool))
        memory = method.memorize(features, steps[1].prediction, nobody, memory, 2)
        logits = method.segment(features, memory).logits
    assert logits.isfinite().all()
    assert (logits[:, 1:] > NEVER / 2).all()


def test_clips_of_a_batch_do_not_mix(method):
    both = torch.stack([video(3), video(3, seed=4)], 1)  # T B 3 H W
    planes, given = torch.stack([masks()[0], masks()[1]])[None].repeat(2, 1, 1, 1), torch.tensor([[True, False], [True, True]])
    together = _unrolled(method, both, planes, given)
    for clip in range(2):
        alone = _unrolled(method, both[:, clip : clip + 1], planes[clip : clip + 1], given[clip : clip + 1])
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a[clip], b[0], rtol=0, atol=1e-4)


@torch.no_grad()
def _unrolled(method, images: Tensor, planes: Tensor, given: Tensor) -> list[Tensor]:
    memory, probs = method.start(len(planes), planes.shape[1], SIZE), []
    for t, image in enumerate(images):
        entering = Prompted(planes * given[:, :, None, None], given) if t == 0 else None
        step = method.step(method.encode(image), memory, t, entering)
        memory = step.memory
        probs.append(step.prob)
    return probs


@pytest.mark.parametrize("scheme", ["a", "b"])
def test_the_space_time_memory_is_bounded_and_keeps_the_first_frame(scheme):
    method = cfbi(f"memory.scheme={scheme}", "memory.every=2", "memory.max_frames=4")
    memory, sizes = method.start(1, 2, SIZE), []
    with torch.no_grad():
        features = method.encode(video(1))
        first = method.step(features, memory, 0, prompted(masks(), 2, SIZE))
        memory, later = first.memory, Masks(first.prob, torch.zeros(1, 2, dtype=torch.bool))
        for t in range(1, 501):
            memory = method.memorize(features, first.prediction, later, memory, t)
            sizes.append(memory.num_bytes())
    assert len(memory.state.frames) <= 5
    assert memory.state.frames[0] == 0
    assert max(sizes[10:]) == max(sizes[:10])


@pytest.mark.parametrize("add_on", ["neck=pan", "object_context=true", "head.fpa=true", "memory.scheme=a", "memory.scheme=b"])
def test_every_add_on_starts_as_nothing(add_on):
    plain, more = awake(cfbi()), cfbi(add_on)
    assert more.load_state_dict(plain.state_dict(), strict=False).unexpected_keys == []
    for a, b in zip(stream(plain, video(3), {0: masks()}, 2), stream(more, video(3), {0: masks()}, 2), strict=True):
        torch.testing.assert_close(a.prob, b.prob, rtol=0, atol=1e-5)


def test_sizes_of_the_published_rule():
    method = cfbi()
    table = {
        (480, 854): (481, 849),
        (720, 1280): (577, 1041),
        (1080, 1920): (577, 1041),
        (97, 97): (97, 97),
        (128, 128): (129, 129),
    }
    assert {frame: method.sizing(*frame, None, None).network for frame in table} == table
    assert {method.sizing(*frame, None, None).masks for frame in table} == set(table)


def test_a_dead_start_is_refused():
    method = cfbi("backbone.norm=frozen")
    with pytest.raises(Exception, match=r"method\.backbone\.norm=frozen"):
        method.train()(None)
