"""AOT over a video: identities, memory, groups, sizes (invariants 2, 4 to 6 and 8 to 13 of specification 9)."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.methods.aot_cases import SIZE, aot, clip, frames, masks, one_clip, stream
from vosbench.inference.session import Session
from vosbench.methods.aot_capa.memory import AOTMemory
from vosbench.methods.method import Step


def logits(steps: list[Step]) -> torch.Tensor:
    """Of every frame but the first."""
    return torch.cat([step.logits for step in steps[1:]])


@pytest.mark.parametrize("order", [[2, 0, 1], [1, 0, 2]])
def test_exchanging_identities_and_labels_alike_exchanges_the_answer(order):
    method, video, given = aot(), frames(4), masks(3)
    plain = stream(method, video, {0: given})
    other = stream(method.relabelled(order), video, {0: {channel: given[order[channel]] for channel in range(3)}})
    taken = [0, *(channel + 1 for channel in order)]
    torch.testing.assert_close(logits(other), logits(plain)[:, taken], rtol=0, atol=1e-5)
    # each identity is its own: labels alone may not be exchanged
    alone = stream(method, video, {0: {channel: given[order[channel]] for channel in range(3)}})
    assert (logits(alone) - logits(plain)[:, taken]).abs().max() > 1e-3


def test_a_clip_in_eval_mode_is_the_stream():
    method, sample = aot("memory.long_gap=2"), one_clip(clip(5), 0)
    with torch.no_grad():
        unrolled = method(sample)
    given = {number: (sample.label_map[0, 0] == number + 1).float() for number in range(3)}
    streamed = stream(method, sample.image[0], {0: given})
    torch.testing.assert_close(logits(unrolled), logits(streamed), rtol=0, atol=1e-4)


def reordered(memory: AOTMemory, order: list[int]) -> AOTMemory:
    """With the stored frames in another order, or some of them twice."""
    if not memory.long[0]:
        return memory
    length = memory.long[0][0][0].shape[1] // len(memory.pinned[0])
    order = [frame for frame in order if frame < len(memory.pinned[0])]
    long = [
        [[torch.cat([part[:, frame * length : (frame + 1) * length] for frame in order], 1) for part in block] for block in group]
        for group in memory.long
    ]
    return dataclasses.replace(memory, long=long, pinned=[[memory.pinned[0][frame] for frame in order]])


def test_the_order_of_stored_frames_and_doubling_the_memory_change_nothing():
    method, video = aot("memory.long_gap=1"), frames(4)
    plain = stream(method, video, {0: masks(2)})
    for order in ([2, 1, 0], [0, 1, 2, 0, 1, 2]):
        changed = stream(
            method, video, {0: masks(2)}, lambda memory, t, order=order: reordered(memory, order) if t == 3 else memory
        )
        torch.testing.assert_close(logits(changed), logits(plain), rtol=0, atol=1e-5)
    forgotten = stream(method, video, {0: masks(2)}, lambda memory, t: reordered(memory, [0]) if t == 3 else memory)
    assert (logits(forgotten) - logits(plain)).abs().max() > 1e-4  # what is stored is read


@pytest.mark.parametrize(
    ("gap", "most", "counts"),
    [
        ("1", "null", [1, 2, 3, 4, 5, 6, 7]),
        ("2", "null", [1, 1, 2, 2, 3, 3, 4]),
        ("9", "null", [1, 1, 1, 1, 1, 1, 1]),
        ("null", "null", [1, 1, 1, 1, 1, 1, 1]),
        ("1", "3", [1, 2, 3, 3, 3, 3, 3]),
    ],
)
def test_the_long_term_memory_holds_one_frame_more_every_gap_within_its_bound(gap, most, counts):
    method = aot(f"memory.long_gap={gap}", f"memory.max_frames={most}")
    steps = stream(method, frames(7), {0: masks(1)})
    tokens = steps[0].memory.long[0][0][0].shape[1]
    assert [len(step.memory.pinned[0]) for step in steps] == counts
    assert [step.memory.long[0][0][0].shape[1] // tokens for step in steps] == counts


def test_a_full_memory_keeps_reference_frames_longest_and_the_first_always():
    method, late = aot("memory.long_gap=1", "memory.max_frames=3"), masks(3)
    prompts = {0: {0: late[0]}, 2: {1: late[1]}, 4: {2: late[2]}, 5: {0: late[0]}}
    steps = stream(method, frames(7), prompts)
    first = [step.memory.long[0][0][1][:, :12] for step in steps]
    for kept in first[1:]:
        assert torch.equal(kept, first[0])
    assert steps[3].memory.pinned[0] == [True, True, False]
    assert steps[4].memory.pinned[0] == [True, True, True]
    assert steps[6].memory.pinned[0] == [True, True, True]  # a frame that is none finds no place


def test_a_late_object_makes_its_frame_a_reference_frame_with_everybodys_masks():
    method, given, video = aot("memory.long_gap=5"), masks(2), frames(4)
    steps = stream(method, video, {0: {0: given[0]}, 2: {1: given[1]}})
    assert len(steps[2].memory.pinned[0]) == 2
    before = stream(method, video, {0: {0: given[0]}})
    label_map = steps[2].prob.argmax(1)[0]
    expected = before[2].prob.argmax(1)[0]
    expected[given[1] > 0] = 2
    assert torch.equal(label_map, expected)


def test_identities_that_nobody_has_get_no_probability():
    method = aot()
    steps = stream(method, frames(3), {0: masks(1)}, lambda memory, t: method.grow(memory, 3) if t == 1 else memory)
    for step in steps[1:]:
        assert step.prob.shape[1] == 4
        assert step.prob[:, 2:].max() < 1e-8
        assert step.prob.argmax(1).max() <= 1


def test_a_video_without_an_object_is_all_background():
    session = Session(aot())
    for t in range(3):
        prob = session.step(frames(3)[t].permute(1, 2, 0).numpy(), {0: {}}.get(t))
        assert session.label_map(prob).max() == 0
    steps = stream(aot(), frames(2), {})
    assert torch.equal(steps[1].prob[:, 0], torch.ones(1, *SIZE))


def test_a_group_of_objects_does_not_see_the_others():
    method, given, video = aot(), masks(5), frames(3)
    both = stream(method, video, {0: given})
    first = stream(method, video, {0: {channel: given[channel] for channel in range(3)}})
    # the first prediction: afterwards masks of both groups meet in what is remembered
    assert torch.equal(both[1].prediction.trace.logits[0], first[1].prediction.trace.logits[0])
    parts = [both[1].prediction.trace.logits[group] for group in (0, 1)]
    parts = [method._resized(part, SIZE).softmax(1).clamp(1e-5, 1 - 1e-5) for part in parts]
    background = (parts[0][:, :1] * parts[1][:, :1]).clamp(1e-5, 1 - 1e-5)
    prob = torch.cat([background, parts[0][:, 1:], parts[1][:, 1:3]], 1)
    expected = (prob / (1 - prob)).log().softmax(1)
    torch.testing.assert_close(both[1].prob, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("objects", "groups"), [(1, 1), (3, 1), (4, 2), (6, 2), (7, 3)])
def test_objects_are_dealt_to_as_many_groups_as_they_need(objects, groups):
    steps = stream(aot(), frames(2), {0: masks(objects)})
    assert len(steps[1].memory.begun) == groups
    assert steps[1].prob.shape[1] == objects + 1


def test_a_group_that_comes_late_remembers_its_own_frame_alone():
    given = masks(4)
    steps = stream(aot("memory.long_gap=1"), frames(4), {0: {n: given[n] for n in range(3)}, 2: {3: given[3]}})
    assert [len(flags) for flags in steps[1].memory.pinned] == [2]
    assert [len(flags) for flags in steps[3].memory.pinned] == [4, 2]


def test_a_batch_of_two_equals_two_runs():
    method, both = aot(), clip()
    with torch.no_grad():
        together = method(both)
        for number in range(2):
            alone = method(one_clip(both, number))
            torch.testing.assert_close(logits(together)[number::2], logits(alone), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("size", "grid"), [((33, 33), (3, 3)), ((40, 71), (3, 5)), ((100, 57), (7, 5)), ((48, 64), (4, 5)), ((129, 161), (9, 11))]
)
def test_any_size_from_33_pixels_on_has_a_legal_network_size_and_an_answer_of_its_own(size, grid):
    session, given = Session(aot()), masks(2, size)
    video = frames(2, size)
    for t in range(2):
        prompts = {number + 1: mask.numpy().astype(bool) for number, mask in given.items()} if t == 0 else None
        prob = session.step(video[t].permute(1, 2, 0).numpy(), prompts)
        assert prob.shape == (3, *size)
    assert session.memory.long[0][0][0].shape[1] == grid[0] * grid[1]


def test_a_frame_of_network_size_is_not_resampled():
    method, video = aot(), frames(2)
    given = masks(2)
    session = Session(method)
    for t in range(2):
        prompts = {number + 1: mask.numpy().astype(bool) for number, mask in given.items()} if t == 0 else None
        answer = session.step(np.ascontiguousarray(video[t].permute(1, 2, 0).numpy()), prompts)
    streamed = stream(method, video, {0: given})[1].prob[0]
    torch.testing.assert_close(torch.as_tensor(answer), streamed, rtol=0, atol=1e-6)


def test_the_second_block_starts_as_the_first_and_gates_both_memories():
    given, video = masks(2), frames(5)
    first, second = aot("lstt.block=v1", "memory.long_gap=1"), aot("lstt.block=v2", "memory.long_gap=1")
    missing = second.load_state_dict(first.state_dict(), strict=False).missing_keys
    assert {key.split(".")[3] for key in missing} == {"key_gate", "linear_id"}
    plain, gated = stream(first, video, {0: given}), stream(second, video, {0: given})
    assert torch.equal(logits(plain), logits(gated))
    with torch.no_grad():
        for block in second.lstt.layers:
            block.key_gate.weight.normal_()
    moved = stream(second, video, {0: given})
    for t in (0, 1):  # at a reference frame and at a write afterwards
        one, other = plain[t].memory, moved[t].memory
        assert (one.long[0][0][0] - other.long[0][0][0]).abs().max() > 1e-3
        assert (one.short[0][0][0] - other.short[0][0][0]).abs().max() > 1e-3
    assert (logits(moved) - logits(plain)).abs().max() > 1e-3


def test_the_affinity_branch_says_nothing_until_its_columns_learn_and_then_to_the_decoder_alone():
    given, video = masks(2), frames(3)
    without, beside = aot("capa=null", name="aot_capa"), aot(name="aot_capa")
    assert not [key for key in without.state_dict() if "capa" in key]
    channels = without.decoder.adapter_4x.in_channels
    state = without.state_dict()
    weight = beside.decoder.adapter_4x.weight.detach().clone()
    weight[:, :channels] = state.pop("decoder.adapter_4x.weight")
    beside.load_state_dict({**state, "decoder.adapter_4x.weight": weight}, strict=False)
    off, on = stream(without, video, {0: given}), stream(beside, video, {0: given})
    torch.testing.assert_close(logits(on), logits(off), rtol=0, atol=1e-6)
    with torch.no_grad():
        beside.decoder.adapter_4x.weight[:, channels:].normal_()
    heard = stream(beside, video, {0: given})
    assert (heard[1].logits - on[1].logits).abs().max() > 1e-3
    for one, other in zip(heard[0].memory.long[0], on[0].memory.long[0], strict=True):
        for a, b in zip(one, other, strict=True):
            assert torch.equal(a, b)
    for one, other in zip(heard[1].prediction.trace.candidates[0], on[1].prediction.trace.candidates[0], strict=True):
        assert torch.equal(one[0], other[0])
