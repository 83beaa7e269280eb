"""QMRA over a video: memory, boxes, late objects, causality (invariants of the specification, section 10)."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

from tests.methods.qmra_cases import BOXES, SIZE, VARIANTS, Counter, frames, numbers, prompted, qmra, stream, strong
from vosbench.errors import ConfigError
from vosbench.inference.session import Session
from vosbench.methods.method import Prompted
from vosbench.methods.qmra.box_map import rasterised

every_variant = pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())


def maps_of(steps: list) -> list[torch.Tensor]:
    return [step.prediction.trace.maps for step in steps]


def noise(method: nn.Module, *prefixes: str) -> None:
    """Other weights in the named parts."""
    torch.manual_seed(9)
    with torch.no_grad():
        for name, parameter in method.named_parameters():
            if name.startswith(prefixes):
                parameter.add_(0.3 * torch.randn_like(parameter) * (1 + parameter.abs().mean()))


@every_variant
def test_probabilities_sum_to_one_at_the_size_of_the_frames(changes):
    steps, _ = stream(qmra(*changes), frames(5, (32, 80)), {0: BOXES, 3: {2: (40.0, 4.0, 70.0, 20.0)}}, 3)
    for step in steps:
        assert step.prob.shape == (1, 4, 32, 80)
        torch.testing.assert_close(step.prob.sum(1), torch.ones(1, 32, 80))


@every_variant
def test_the_frames_remembered_show_in_the_answer(changes):
    method, video = strong(*changes), frames(3)
    one, other = (stream(method, video, {0: {0: box}}, 1)[0][2].prob for box in BOXES.values())
    assert (one - other).abs().max() > 1e-3


@every_variant
def test_the_prompted_frame_is_predicted(changes):
    probs = [stream(qmra(*changes, seed=seed), frames(1), {0: BOXES}, 2)[0][0].prob[0] for seed in range(2)]
    filled = rasterised(torch.tensor(list(BOXES.values())), SIZE)[:, 0]
    for prob in probs:
        assert (prob[1:] - filled).abs().amax((1, 2)).min() > 0.1


def test_masks_with_one_tight_box_give_one_answer():
    method, videos = strong(), []
    square = torch.zeros(SIZE)
    square[4:24, 6:30] = 1
    cross = torch.zeros(SIZE)
    cross[4:24, 17], cross[11, 6:30] = 1, 1
    for mask in (square, cross):
        memory, probs = method.start(1, 1, SIZE), []
        for t, image in enumerate(frames(5)):
            given = Prompted(mask[None, None], torch.ones(1, 1, dtype=torch.bool)) if t == 0 else None
            with torch.no_grad():
                step = method.step(method.encode(image[None]), memory, t, given)
            memory = step.memory
            probs.append(step.prob)
        videos.append(probs)
    assert all(torch.equal(a, b) for a, b in zip(*videos, strict=True))


def test_a_session_hands_over_no_more_than_the_box_of_a_mask():
    method, images = strong(), (frames(4, (50, 70)).permute(0, 2, 3, 1) * 255).to(torch.uint8).numpy()
    full, corners = np.zeros((50, 70), bool), np.zeros((50, 70), bool)
    full[8:31, 12:40] = True
    corners[8, 12] = corners[30, 39] = True
    answers = []
    for prompt in (full, corners, [12.0, 8.0, 40.0, 31.0]):
        session = Session(method)
        answers.append([session.step(image, {4: prompt} if t == 0 else None) for t, image in enumerate(images)])
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(*answers, strict=True))


@every_variant
def test_the_memory_holds_what_is_encoded_from_scratch(changes):
    method, video = strong(*changes, "memory.every=2"), frames(5)
    steps, _ = stream(method, video, {0: BOXES}, 2)
    for t, step in enumerate(steps):
        for channel in range(2):
            entry = step.memory.tracks[0][channel][-1]
            with torch.no_grad():
                fresh = method.with_maps(method.encode(video[t : t + 1]).image, step.prediction.trace.maps[channel][None])
            key, value = fresh.remembered()[0]
            assert entry["frame"] == t
            torch.testing.assert_close(entry["value"], value, rtol=1e-4, atol=1e-4)
            assert key is None or torch.allclose(entry["key"], key, rtol=1e-4, atol=1e-3)


def test_an_object_is_encoded_once_a_frame_and_the_image_once_if_something_is_sought():
    method = qmra()
    with_maps, images = Counter(method.f_m), Counter(method.f_q)
    memory, counts = method.start(1, 3, SIZE), []
    prompts = {1: {0: BOXES[0], 1: BOXES[1]}, 3: {2: (1.0, 1.0, 9.0, 9.0)}}
    for t, image in enumerate(frames(6)):
        with_maps.seen = images.seen = 0
        given = prompted(prompts[t], 3) if t in prompts else None
        with torch.no_grad():
            memory = method.step(method.encode(image[None]), memory, t, given).memory
        counts.append((with_maps.seen, images.seen))
    assert counts == [(0, 0), (2, 0), (2, 1), (3, 1), (3, 1), (3, 1)]


@pytest.mark.parametrize(("name", "expected"), [
    ("1stage", [(2, 0, 1), (2, 0, 1)]),
    ("NoAlign", [(2, 0, 0), (4, 0, 1)]),
    ("NoSiam", [(2, 2, 0), (2, 2, 1)]),
    ("without QMA", [(2, 0, 0), (2, 0, 1)]),
])  # fmt: skip
def test_variants_encode_again_for_the_memory_as_the_specification_says(name, expected):
    method, counts = qmra(*VARIANTS[name]), []
    f_m, f_q = Counter(method.f_m), Counter(method.f_q)
    f_r = Counter(method.f_r) if method.f_r is not None else None
    memory = method.start(1, 2, SIZE)
    for t, image in enumerate(frames(2)):
        before = (f_m.seen, f_r.seen if f_r else 0, f_q.seen)
        with torch.no_grad():
            memory = method.step(method.encode(image[None]), memory, t, prompted(BOXES, 2) if t == 0 else None).memory
        counts.append((f_m.seen - before[0], (f_r.seen if f_r else 0) - before[1], f_q.seen - before[2]))
    assert counts == expected


@every_variant
def test_the_order_of_the_objects_is_that_of_the_answer(changes):
    method, video = strong(*changes), frames(4)
    straight, _ = stream(method, video, {0: BOXES}, 2)
    swapped, _ = stream(method, video, {0: {0: BOXES[1], 1: BOXES[0]}}, 2)
    for one, other in zip(straight, swapped, strict=True):
        torch.testing.assert_close(one.prob, other.prob[:, [0, 2, 1]], rtol=0, atol=1e-5)


def test_box_maps_do_not_know_other_objects_and_may_overlap():
    method, video = strong(), frames(5)
    beside, _ = stream(method, video, {0: BOXES, 2: {2: (0.0, 30.0, 20.0, 47.0)}}, 3)
    alone, _ = stream(method, video, {0: {0: BOXES[0]}}, 1)
    assert all(torch.equal(a[:1], b) for a, b in zip(maps_of(beside), maps_of(alone), strict=True))
    assert maps_of(beside)[0].sum(0).max() == 2
    assert 0 < maps_of(alone)[4].mean() < 1


@pytest.mark.parametrize("name", ["full", "NoSiam", "without QMA", "CRM without CL"])
def test_masks_never_feed_back_into_boxes(name):
    method, video = strong(*VARIANTS[name]), frames(5)
    before, _ = stream(method, video, {0: BOXES}, 2)
    noise(method, "bca2", "dec_s", "crm")
    after, _ = stream(method, video, {0: BOXES}, 2)
    assert all(torch.equal(a, b) for a, b in zip(maps_of(before), maps_of(after), strict=True))
    assert (before[4].prob - after[4].prob).abs().max() > 1e-2


@pytest.mark.parametrize("name", ["1stage", "NoAlign"])
def test_without_a_box_stage_masks_feed_back_through_their_box(name):
    method, video = strong(*VARIANTS[name]), frames(4)
    before, _ = stream(method, video, {0: BOXES}, 2)
    noise(method, "dec_s", "crm")
    after, _ = stream(method, video, {0: BOXES}, 2)
    assert any(not torch.equal(a, b) for a, b in zip(maps_of(before), maps_of(after), strict=True))
    for made in maps_of(after):
        assert torch.equal(made, made.round())


@every_variant
def test_frames_to_come_are_out_of_reach(changes):
    method, video = strong(*changes), frames(6)
    other = torch.cat([video[:4], 1 - video[4:]])
    whole, changed, cut = (stream(method, images, {0: BOXES}, 2)[0] for images in (video, other, video[:4]))
    for a, b, c in zip(whole[:4], changed[:4], cut, strict=True):
        assert torch.equal(a.prob, b.prob)
        assert torch.equal(a.prob, c.prob)


@pytest.mark.parametrize(("every", "start"), [(5, 0), (10, 0), (5, 3)])
def test_the_memory_of_a_frame_is_as_published(every, start):
    method = qmra(f"memory.every={every}", "memory.max_frames=null", "memory.skip_empty=false")
    _, before = stream(method, frames(40, (16, 16)), {start: {0: (2.0, 2.0, 9.0, 9.0)}}, 1)
    for k in range(start + 1, 40):
        held = numbers(before[k])
        steps = range(start + every, k - 1, every)
        assert held == sorted({start, *steps, k - 1})
        assert len(held) == (1 if k == start + 1 else 2 + (k - 2 - start) // every)


@pytest.mark.parametrize("most", [2, 4])
def test_a_bounded_memory_keeps_the_prompted_and_the_newest_frame(most):
    method = qmra("memory.every=3", f"memory.max_frames={most}", "memory.skip_empty=false")
    _, before = stream(method, frames(25, (16, 16)), {1: {0: (2.0, 2.0, 9.0, 9.0)}}, 1)
    for k in range(2, 25):
        held = numbers(before[k])
        assert len(held) <= most
        assert (held[0], held[-1]) == (1, k - 1)
    assert numbers(before[24]) == {2: [1, 23], 4: [1, 19, 22, 23]}[most]


def test_without_extra_frames_the_answer_differs_only_once_there_would_be_one():
    video = frames(8)
    with_them, without = (strong("memory.every=3", "memory.skip_empty=false", f"memory.extra={on}") for on in ("true", "false"))
    one, _ = stream(with_them, video, {0: BOXES}, 2)
    other, memories = stream(without, video, {0: BOXES}, 2)
    same = [torch.equal(a.prob, b.prob) for a, b in zip(one, other, strict=True)]
    assert same[:5] == [True] * 5
    assert not same[5]
    assert [numbers(memory) for memory in memories[1:]] == [[0], *[[0, k - 1] for k in range(2, 8)]]


def test_a_frame_without_a_box_is_remembered_for_one_frame_only():
    never = "box_threshold=0.999999"
    for skip, expected in (("true", [0, 5]), ("false", [0, 2, 4, 5])):
        steps, _ = stream(qmra(never, "memory.every=2", f"memory.skip_empty={skip}"), frames(6), {0: {0: BOXES[0]}}, 1)
        assert steps[3].prediction.trace.seen == [False]
        assert maps_of(steps)[3].abs().max() == 0
        assert numbers(steps[-1].memory) == expected
        assert steps[3].prediction.aux["boxes"].isnan().all()


def test_a_late_object_leaves_the_frames_before_it_alone():
    method, video = strong(), frames(6)
    alone, _ = stream(method, video, {0: {0: BOXES[0]}}, 2)
    joined, _ = stream(method, video, {0: {0: BOXES[0]}, 3: {1: BOXES[1]}}, 2)
    assert all(torch.equal(a.prob, b.prob) for a, b in zip(alone[:3], joined[:3], strict=True))
    assert all(step.prob[0, 2].max() < 1e-6 for step in joined[:3])
    assert joined[3].prob[0, 2].max() > 0.5
    assert numbers(joined[-1].memory, 1)[0] == 3


def test_objects_with_memories_of_other_lengths_are_as_they_would_be_alone():
    method, video = strong("memory.every=2"), frames(7)
    together, _ = stream(method, video, {0: {0: BOXES[0]}, 3: {1: BOXES[1]}}, 2)
    late, _ = stream(method, video[3:], {0: {0: BOXES[1]}}, 1)
    assert {len(together[5].memory.tracks[0][channel]) for channel in range(2)} == {4, 2}
    for a, b in zip(maps_of(together)[3:], maps_of(late), strict=True):
        torch.testing.assert_close(a[1:], b, rtol=0, atol=1e-5)


def test_a_second_box_takes_the_place_of_stage_one_and_stays_for_good():
    method, video = strong("memory.every=100"), frames(7)
    images = Counter(method.f_q)
    again = (30.0, 10.0, 50.0, 30.0)
    steps, before = stream(method, video, {0: {0: BOXES[0]}, 3: {0: again}}, 1)
    assert images.seen == 5
    assert steps[3].prediction.aux["boxes"][0, 0].tolist() == list(again)
    assert [numbers(memory) for memory in before[3:]] == [[0, 2], [0, 3], [0, 3, 4], [0, 3, 5]]
    straight, _ = stream(method, video, {0: {0: BOXES[0]}}, 1)
    assert (straight[6].prob - steps[6].prob).abs().max() > 1e-3


def test_more_prompted_frames_than_the_bound_allows_are_refused():
    method = qmra("memory.max_frames=2")
    with pytest.raises(ConfigError, match=r"method\.memory\.max_frames=2"):
        stream(method, frames(4), {0: {0: BOXES[0]}, 1: {0: BOXES[0]}}, 1)


def test_an_object_without_a_box_stays_background():
    method, video = qmra(), frames(3)
    nothing = Prompted(torch.zeros(1, 2, *SIZE), torch.tensor([[True, True]]), torch.tensor([[BOXES[0], (5.0, 5.0, 5.0, 9.0)]]))
    memory = method.start(1, 2, SIZE)
    for t, image in enumerate(video):
        with torch.no_grad():
            step = method.step(method.encode(image[None]), memory, t, nothing if t == 0 else None)
        memory = step.memory
        assert step.prob[0, 2].max() < 1e-6
    assert [len(track) for track in memory.tracks[0]] == [2, 0]


@pytest.mark.parametrize("feed", ["rect", "soft", "hard"])
def test_what_stage_two_is_fed_is_what_is_remembered(feed):
    method = strong(f"feed={feed}")
    steps, _ = stream(method, frames(4), {0: {0: BOXES[0]}}, 1)
    made, box = maps_of(steps)[2], steps[2].prediction.aux["boxes"][0]
    binary = bool(((made == 0) | (made == 1)).all())
    assert binary == (feed != "soft")
    assert torch.equal(made, rasterised(box, SIZE)) == (feed == "rect")


def test_masks_may_be_kept_inside_their_boxes():
    steps, _ = stream(strong("clip_to_box=true"), frames(4), {0: BOXES}, 2)
    outside = rasterised(steps[3].prediction.aux["boxes"][0], SIZE)[:, 0] == 0
    free, _ = stream(strong(), frames(4), {0: BOXES}, 2)
    assert outside.any()
    assert steps[3].prob[0, 1:][outside].max() < 1e-6
    assert free[3].prob[0, 1:][outside].max() > 1e-2


@every_variant
def test_objects_in_passes_are_as_objects_at_once(changes):
    prompts = {0: BOXES, 2: {2: (0.0, 30.0, 20.0, 47.0)}}
    once, _ = stream(strong(*changes), frames(4), prompts, 3)
    passes, _ = stream(strong(*changes, "objects_per_pass=2"), frames(4), prompts, 3)
    for a, b in zip(once, passes, strict=True):
        torch.testing.assert_close(a.prob, b.prob, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("size", "options", "network"), [
    ((97, 131), {}, (112, 144)),
    ((97, 131), {"short_edge": 60}, (64, 96)),
    ((500, 700), {}, (480, 672)),
    ((500, 700), {"long_edge": 100}, (80, 112)),
])  # fmt: skip
def test_boxes_enter_and_leave_in_pixels_of_the_frame(size, options, network, caplog):
    session = Session(qmra(), **options)
    image = np.full((*size, 3), 90, np.uint8)
    box = (20.0, 30.0, 70.5, 88.25)
    with caplog.at_level(logging.ERROR):
        prob = session.step(image, {3: box, 9: [-40.0, 60.0, 30.0, 900.0]})
    assert prob.shape == (3, *size)
    assert session.memory.size == network
    assert session.boxes[3] == pytest.approx(box, abs=1e-3)
    assert session.boxes[9] == pytest.approx((0.0, 60.0, 30.0, size[0]), abs=1e-3)


def test_boxes_are_drawn_at_the_networks_size_and_never_in_the_padding():
    session, seen = Session(qmra(), short_edge=60), []
    method = session.method
    method.f_m.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0][:, 3:]))
    session.step(np.full((97, 131, 3), 90, np.uint8), {3: (0.0, 0.0, 131.0, 97.0), 4: (13.1, 9.7, 26.2, 19.4)})
    x0, y0, x1, y1 = session.memory.window
    assert (x1 - x0, y1 - y0) == (81, 60)
    whole, small = seen[0][:, 0]
    assert whole.sum() == 81 * 60
    assert whole[y0:y1, x0:x1].min() == 1
    assert small.nonzero().amin(0).tolist() == [y0 + 6, x0 + 8]
    assert small.nonzero().amax(0).tolist() == [y0 + 11, x0 + 15]


def test_a_session_without_box_predictions_has_no_boxes():
    assert Session(qmra()).boxes == {}
