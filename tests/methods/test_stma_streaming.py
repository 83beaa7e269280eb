"""STMA over a video: memory, cache, late objects, bounds (invariants of the specification, section 9)."""

import dataclasses

import pytest
import torch

from tests.methods.stma_cases import block, clip, frames, prompted, stma, stream, two_objects, with_late
from vosbench.layers.bank_read import read_bank
from vosbench.methods.method import Prompted
from vosbench.methods.stma.object_tokens import pooled_value

ABLATIONS = {
    "full": [],
    "without objects": ["object.enabled=false"],
    "without spatial": ["memory.spatial=null"],
    "without spatial and objects": ["memory.spatial=null", "object.enabled=false"],
    "without temporal": ["memory.temporal=null"],
    "without temporal and objects": ["memory.temporal=null", "object.enabled=false"],
    "joint": ["stml.mode=joint"],
    "joint without temporal": ["stml.mode=joint", "memory.temporal=null"],
    "vit": ["backbone.name=vit_b"],
    "vit without temporal": ["backbone.name=vit_b", "memory.temporal=null"],
    "l2": ["memory.temporal.affinity=l2", "memory.temporal.top_k=20"],
}
every_ablation = pytest.mark.parametrize("changes", ABLATIONS.values(), ids=ABLATIONS.keys())
MAIN = ("full", "without spatial", "without temporal", "joint")
main_forms = pytest.mark.parametrize("changes", [ABLATIONS[name] for name in MAIN], ids=MAIN)
CACHED = {name: changes for name, changes in ABLATIONS.items() if "joint" not in name}


def assert_same(one: list, other: list, tolerance: float = 1e-5) -> None:
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


@every_ablation
def test_probabilities_sum_to_one_at_the_size_of_the_frames(changes):
    probs, _ = stream(stma(*changes), frames(6, (32, 80)), two_objects((32, 80)), 2)
    for prob in probs:
        assert prob.shape == (1, 3, 32, 80)
        assert prob.min() >= 0
        torch.testing.assert_close(prob.sum(1), torch.ones(1, 32, 80))


@every_ablation
def test_the_prompted_frame_returns_the_prompt(changes):
    prob = stream(stma(*changes), frames(1), two_objects(), 2)[0][0]
    masks = two_objects()[0]
    assert prob[0, 1][masks[0] > 0].min() > 0.999
    assert prob[0, 2][masks[1] > 0].min() > 0.999
    assert torch.equal(prob.argmax(1)[0], (masks[0] + 2 * masks[1]).long())


@main_forms
def test_masks_of_memory_show_in_the_result(changes):
    method, video = stma(*changes), frames(2)
    one = stream(method, video, two_objects(), 2)[0][1]
    other = stream(method, video, {0: {0: block((0, 48), (40, 64)), 1: block((0, 10), (0, 12))}}, 2)[0][1]
    assert (one - other).abs().max() > 1e-3


@pytest.mark.parametrize(("changes", "refs"), [*((changes, 2) for changes in CACHED.values()), ([], 1), ([], 3)])
def test_the_cache_is_exact_over_writes_evictions_and_a_late_object(changes, refs):
    # given a capacity of three frames, fourteen frames, an object that enters in frame 4
    spatial = [] if "memory.spatial=null" in changes else [f"memory.spatial.refs={refs}"]
    temporal = [] if "memory.temporal=null" in changes else ["memory.temporal.capacity_frames=3"]
    options = [*changes, *spatial, *temporal]
    cached, _ = stream(stma(*options), frames(14), with_late(), 3)
    fresh, _ = stream(stma(*options, "stml.cache=false"), frames(14), with_late(), 3)
    assert_same(cached, fresh)


def test_the_memory_side_is_filled_once_per_write_that_another_frame_follows(monkeypatch):
    method, fills = stma(), []
    fill = method.stml.fill
    monkeypatch.setattr(method.stml, "fill", lambda *arguments: fills.append(1) or fill(*arguments))
    stream(method, frames(14), with_late(), 3)
    # writes on frames 0, 3, 4, 7, 10, 13; no frame follows the last
    assert len(fills) == 5


def test_without_object_tokens_a_write_fills_only_the_new_reference(monkeypatch):
    method, filled = stma("object.enabled=false", "memory.spatial.refs=3"), []
    fill = method.stml.fill
    monkeypatch.setattr(method.stml, "fill", lambda refs, *rest: filled.append(refs.shape[1]) or fill(refs, *rest))
    stream(method, frames(12), two_objects(), 2)
    assert filled == [1, 1, 1, 1]


def test_an_old_cache_after_a_write_would_show():
    # given the keys and values of before the write on frame 3, forced into the memory after it
    method = stma()
    right, memories = stream(method, frames(5), two_objects(), 2)

    def stale(memory, frame):
        return dataclasses.replace(memory, cache=memories[2].cache, cache_ids=memory.reference_ids) if frame == 4 else memory

    wrong, _ = stream(method, frames(5), two_objects(), 2, stale)
    assert torch.equal(right[3], wrong[3])
    assert (right[4] - wrong[4]).abs().max() > 0


def test_a_cache_of_another_precision_is_filled_again():
    method, video = stma(), frames(3)
    memory = stream(method, video[:2], two_objects(), 2)[1][-1]
    assert memory.cache[0][0].dtype == torch.float32
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        step = method.step(method.encode(video[2:]), memory, 2)
    assert step.memory.cache[0][0].dtype == torch.bfloat16


def test_a_frame_of_another_size_is_refused():
    method = stma()
    memory = stream(method, frames(2), two_objects(), 2)[1][-1]
    with pytest.raises(ValueError, match="start a new memory"):
        method.segment(method.encode(frames(1, (48, 48))), memory)


@main_forms
def test_permuting_the_objects_permutes_the_result(changes):
    method, video = stma(*changes), frames(9)
    order = [2, 0, 1]
    permuted = {t: {order.index(channel): mask for channel, mask in masks.items()} for t, masks in with_late().items()}
    straight, _ = stream(method, video, with_late(), 3)
    other, _ = stream(method, video, permuted, 3)
    assert_same([prob[:, [0, 3, 1, 2]] for prob in straight], other)


@main_forms
def test_later_frames_leave_earlier_results_untouched(changes):
    method, video = stma(*changes), frames(7)
    other = torch.cat([video[:4], 1 - video[4:]])
    straight, changed = (stream(method, seen, two_objects(), 2)[0] for seen in (video, other))
    assert all(torch.equal(one, two) for one, two in zip(straight[:4], changed[:4], strict=True))
    assert (straight[4] - changed[4]).abs().max() > 1e-4


@main_forms
def test_a_channel_without_object_changes_nothing(changes):
    method, video = stma(*changes), frames(8)
    narrow, _ = stream(method, video, two_objects(), 2)
    wide, memories = stream(method, video, two_objects(), 4)
    assert_same(narrow, [prob[:, :3] for prob in wide])
    assert max(float(prob[:, 3:].max()) for prob in wide) < 1e-6
    assert memories[-1].registered.tolist() == [[True, True, False, False]]


@every_ablation
def test_growing_at_the_late_object_equals_room_from_the_start(changes):
    method, video = stma(*changes), frames(9)
    expected, _ = stream(method, video, with_late(), 3)
    probs = []
    with torch.no_grad():
        memory = method.start(1, 0, (48, 64))
        for t in range(9):
            memory = method.grow(memory, {0: 2, 4: 3}.get(t, memory.objects))
            entering = with_late().get(t)
            step = method.step(
                method.encode(video[t : t + 1]), memory, t, entering and prompted(entering, memory.objects, (48, 64))
            )
            memory = step.memory
            probs.append(step.prob)
    assert_same(expected[:4], [torch.nn.functional.pad(prob, (0, 0, 0, 0, 0, 1)) for prob in probs[:4]])
    assert_same(expected[4:], probs[4:])


@main_forms
def test_a_memory_saved_and_restored_in_mid_video_goes_on_as_before(changes, tmp_path):
    def restored(memory, frame):
        if frame != 5:
            return memory
        torch.save(memory.fields(), tmp_path / "memory.pt")
        return type(memory)(**torch.load(tmp_path / "memory.pt", weights_only=True)).to("cpu").detach()

    method, video = stma(*changes), frames(8)
    straight, _ = stream(method, video, with_late(), 3)
    resumed, _ = stream(method, video, with_late(), 3, restored)
    assert all(torch.equal(one, two) for one, two in zip(straight, resumed, strict=True))


@main_forms
def test_a_step_leaves_the_memory_it_was_given_untouched(changes):
    method, video = stma(*changes), frames(6)
    memory = stream(method, video[:5], with_late(), 3)[1][-1]
    copy = memory.map(torch.clone)
    with torch.no_grad():
        late = prompted({1: block((10, 20), (10, 20))}, 3, (48, 64))
        method.step(method.encode(video[5:]), memory, 5, late)
    torch.testing.assert_close(memory.fields(), copy.fields(), rtol=0, atol=0)


@main_forms
def test_objects_in_several_passes_give_the_same(changes):
    at_once, _ = stream(stma(*changes), frames(8), with_late(), 3)
    in_passes, _ = stream(stma(*changes, "objects_per_pass=1"), frames(8), with_late(), 3)
    assert_same(at_once, in_passes)


@every_ablation
def test_clips_of_a_batch_do_not_meet(changes):
    # given two videos, in the second of which the third object never enters
    method, both = stma(*changes, *([] if "memory.temporal=null" in changes else ["memory.temporal.capacity_frames=2"])), clip(7)
    planes = both.masks(0)
    given = both.present
    with torch.no_grad():
        memory, batched = method.start(2, 3, (48, 64)), []
        for t in range(7):
            entering = Prompted(planes, given) if t == 0 else None
            step = method.step(method.encode(both.image[:, t]), memory, t, entering)
            memory = step.memory
            batched.append(step.prob)
    for index in range(2):
        prompts = {0: {channel: planes[index, channel] for channel in range(3) if given[index, channel]}}
        alone, _ = stream(method, both.image[index], prompts, 3)
        assert_same([prob[index : index + 1] for prob in batched], alone)


def test_memory_stays_bounded_over_a_hundred_frames():
    # given registrations on frames 0, 30 and 60, a capacity of three frames of four tokens, three references
    method = stma("memory.temporal.capacity_frames=3", "memory.spatial.refs=3", "memory.write_every=2")
    mask = block((4, 28), (4, 28), (32, 32))
    _, memories = stream(method, frames(100, (32, 32)), {0: {0: mask}, 30: {1: mask}, 60: {2: mask}}, 3)
    registrations = [1 + (t >= 30) + (t >= 60) for t in range(100)]
    for registered, memory in zip(registrations, memories, strict=True):
        bank = memory.bank
        assert bank.size <= max(3 * 4, (registered + 1) * 4)
        assert {tensor.shape[-1] for tensor in bank.fields().values()} == {bank.size}
        assert int(bank.protected.sum()) == registered * 4
        assert int((bank.write_no == memory.writes - 1).sum()) == 4
        assert len(memory.references) <= registered + 2
        assert sum(memory.pinned) == registered
    assert memories[70].num_bytes() == memories[98].num_bytes()


def test_pinned_references_are_bounded_but_the_first_stays():
    method, mask = stma("memory.spatial.max_pinned=2"), block((4, 28), (4, 28), (32, 32))
    prompts = {t: {t: mask} for t in range(5)}
    _, memories = stream(method, frames(5, (32, 32)), prompts, 5)
    assert memories[-1].reference_ids == [0, 4]


def test_every_read_hands_out_as_much_use_as_there_are_queries():
    _, memories = stream(stma("memory.write_every=100"), frames(6), with_late(), 3)
    totals = [float(memory.bank.use.sum()) for memory in memories]
    # 12 queries a frame; the write on frame 4 adds fresh elements, which no one has used
    torch.testing.assert_close(totals, [0.0, 12.0, 24.0, 36.0, 48.0, 60.0], rtol=0, atol=1e-3)
    assert float(memories[5].bank.life[0, 0]) == pytest.approx(5)
    assert float(memories[5].bank.life[0, -1]) == pytest.approx(1)


def test_a_late_object_reads_only_what_was_written_since_its_registration():
    # given a bank with two writes, and a second object registered at write 1
    bank = stream(stma(), frames(5), with_late(), 3)[1][-1].bank
    query = torch.randn(1, 16, 12, generator=torch.Generator().manual_seed(0))
    read, usage = read_bank(bank, [[0, 0, 2]], query, None, None)
    # when the values of its slot before are altered
    altered = bank.value.clone()
    altered[:, 2, :, :24] = 1000
    again, _ = read_bank(dataclasses.replace(bank, value=altered), [[0, 0, 2]], query, None, None)
    # then nothing changes, and the read of each group is an average
    assert torch.equal(read, again)
    torch.testing.assert_close(usage.sum(), torch.tensor(12.0))
    ones, _ = read_bank(dataclasses.replace(bank, value=torch.ones_like(bank.value)), [[0, 0, 2]], query, None, 5)
    torch.testing.assert_close(ones, torch.ones_like(ones))


def test_object_tokens_change_at_writes_and_only_there():
    _, memories = stream(stma(), frames(9), with_late(), 3)
    changed = [t for t in range(1, 9) if not torch.equal(memories[t].tokens, memories[t - 1].tokens)]
    assert changed == [3, 4, 7]
    assert [memory.last_write for memory in memories] == [0, 0, 0, 3, 4, 4, 4, 7, 7]


@main_forms
def test_an_empty_mask_registers_nothing(changes):
    method, video = stma(*changes), frames(3)
    nobody, memories = stream(method, video, {0: {0: torch.zeros(48, 64)}}, 1)
    assert [memory.writes for memory in memories] == [0, 0, 0]
    assert min(float(prob[:, 0].min()) for prob in nobody) > 1 - 1e-6
    beside, memories = stream(method, video, {0: {**two_objects()[0], 2: torch.zeros(48, 64)}}, 3)
    assert memories[-1].registered.tolist() == [[True, True, False]]
    assert_same([prob[:, :3] for prob in beside], stream(method, video, two_objects(), 2)[0])


@main_forms
def test_a_video_whose_first_mask_comes_late_starts_there(changes):
    method, video = stma(*changes), frames(6)
    late, memories = stream(method, video, {3: two_objects()[0]}, 2)
    assert [memory.writes for memory in memories[:4]] == [0, 0, 0, 1]
    assert_same(late[3:], stream(method, video[3:], two_objects(), 2)[0])


def test_a_given_mask_wins_over_the_prediction_and_over_other_objects():
    method = stma()
    prompts = {**two_objects(), 2: {1: block((4, 24), (6, 30))}}
    prob = stream(method, frames(3), prompts, 2)[0][2]
    inside = block((4, 24), (6, 30)) > 0
    assert prob[0, 2][inside].min() > 0.999
    assert prob[0, 2][~inside].max() < 1e-3


def test_without_object_tokens_the_final_map_knows_no_masks():
    method, video = stma("object.enabled=false"), frames(2)
    memories = [stream(method, video[:1], prompts, 2)[1][0] for prompts in (two_objects(), {0: {1: block((0, 9), (0, 9))}})]
    with torch.no_grad():
        one, other = (method.segment(method.encode(video[1:]), memory).trace.final for memory in memories)
    assert torch.equal(one, other)


def test_prompts_clear_what_lies_below_them_and_all_is_aggregated_again():
    # given two pixels, the first of which the prompt of object 2 covers
    prob = torch.tensor([[0.05, 0.2], [0.9, 0.5], [0.05, 0.3]]).view(1, 3, 1, 2)
    mask = torch.tensor([[[0.0, 0.0], [1.0, 0.0]]]).view(1, 2, 1, 2)
    # when
    merged = stma().merge(prob, Prompted(mask, torch.tensor([[False, True]])))[0, :, 0]
    # then object 1 has nothing left there; beside it nobody has odds 0.5/0.5 and object 1 too, object 2 its empty mask
    assert merged[2, 0] > 0.999
    assert merged[1, 0] < 1e-10
    torch.testing.assert_close(merged[:, 1], torch.tensor([0.5, 0.5, 0.0]), rtol=1e-4, atol=1e-4)


def test_an_anchor_is_taken_once():
    _, memories = stream(stma(), frames(9), with_late(), 3)
    assert all(torch.equal(memory.anchor[:, :2], memories[0].anchor[:, :2]) for memory in memories)
    assert all(torch.equal(memory.anchor[:, 2], memories[4].anchor[:, 2]) for memory in memories[4:])
    assert memories[3].anchor[:, 2].abs().max() == 0
    assert memories[4].anchor[:, 2].abs().max() > 0


def test_an_object_is_pooled_over_its_own_elements_alone():
    # given values -3, -1, 2 of an object that owns the first two elements, and an object that owns none
    value = torch.tensor([-3.0, -1.0, 2.0]).expand(1, 2, 1, 3)
    valid = torch.tensor([[[True, True, False], [False, False, False]]])
    assert pooled_value(value, valid).flatten().tolist() == [-1.0, 0.0]
    assert pooled_value(value, None).flatten().tolist() == [2.0, 2.0]


@pytest.mark.parametrize("mode", ["asymmetric", "joint"])
def test_without_temporal_memory_every_object_runs_alone(mode):
    # given a late object beside two others, and the same object alone in a video that starts where it enters
    method, video = stma("memory.temporal=null", "memory.spatial.refs=3", f"stml.mode={mode}"), frames(6)
    beside = stream(method, video[:5], with_late(), 3)[1][-1]
    alone = stream(method, video[4:5], {0: {0: with_late()[4][2]}}, 1)[1][-1]
    # when the next frame is segmented
    with torch.no_grad():
        finals = [method.segment(method.encode(video[5:]), memory).trace.final for memory in (beside, alone)]
    # then the object's own map is the same
    torch.testing.assert_close(finals[0][2:], finals[1], rtol=1e-4, atol=1e-4)
