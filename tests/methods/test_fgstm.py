"""The foreground-background space-time memory: what is written, how long it stays, who reads it, and what the read-out is."""

import io
import math

import pytest
import torch
from torch import Tensor, nn

from vosbench.methods.cfbi_fgstm.entries import Entries
from vosbench.methods.cfbi_fgstm.fgstm import FGSTM
from vosbench.methods.cfbi_fgstm.fgstm_bank import FGSTMState
from vosbench.methods.cfbi_fgstm.soft_masks import soft_masks

CHANNELS, SIZE = 12, (4, 5)


def fgstm(scheme: str = "a", *, every: int = 5, max_frames: int = 20, stirred: bool = True) -> FGSTM:
    """A small memory; `stirred`: the last layer is not zero."""
    torch.manual_seed(0)
    module = FGSTM(channels=CHANNELS, width=16, scheme=scheme, key_dim=4, value_dim=6, every=every, max_frames=max_frames)
    if stirred:
        nn.init.normal_(module.join[2].weight, std=0.1)
        for part in module.modules():
            if isinstance(part, nn.Conv2d) and part.bias is not None:
                nn.init.normal_(part.bias, std=0.3)
    return module.eval()


def embedding(frame: int, batch: int = 1) -> Tensor:
    return torch.randn(batch, CHANNELS, *SIZE, generator=torch.Generator().manual_seed(100 + frame)).relu()


def masks(frame: int, entries: int = 3, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(frame)
    return torch.randn(batch, entries, *SIZE, generator=generator).mul(3).softmax(1)


def everybody(entries: int = 3, batch: int = 1) -> Tensor:
    return torch.ones(batch, entries, dtype=torch.bool)


def read(module: FGSTM, embedding: Tensor, state: FGSTMState) -> Tensor:
    """What is added for all entries, introduced or not."""
    return module.read(embedding, state, all_of(state))


def read_out(module: FGSTM, embedding: Tensor, state: FGSTMState) -> Tensor:
    """Read-out of all entries of the first clip."""
    return module.read_out(module.query(embedding)[0], state, all_of(state))


def all_of(state: FGSTMState) -> Entries:
    return Entries.of([[True] * (len(clip) - 1) for clip in state.born])


def written(module: FGSTM, frames: list[int], references: tuple[int, ...] = (0,), entries: int = 3) -> FGSTMState:
    state = module.start(1, entries)
    for frame in frames:
        reference = frame in references
        state = module.write(
            state, embedding(frame), masks(frame, entries), frame=frame, known=everybody(entries), reference=reference
        )
    return state


# Differences between the rows of the specification's table in section 4.
@pytest.mark.parametrize(
    ("widths", "scheme", "count"),
    [
        ((256, 512, 64, 128), "a", 3_360_832),
        ((256, 512, 64, 128), "b", 82_792_120 - 79_430_772),
        ((48, 96, 16, 24), "a", 1_413_840 - 1_290_168),
        ((48, 96, 16, 24), "b", 1_413_940 - 1_290_168),
    ],
)
def test_the_memory_has_as_many_parameters_as_the_specification_says(widths, scheme, count):
    channels, width, key_dim, value_dim = widths
    with torch.device("meta"):
        module = FGSTM(
            channels=channels, width=width, scheme=scheme, key_dim=key_dim, value_dim=value_dim, every=5, max_frames=20
        )
    assert sum(parameter.numel() for parameter in module.parameters()) == count


@pytest.mark.parametrize("scheme", ["a", "b"])
def test_a_fresh_memory_adds_exactly_nothing(scheme):
    module = fgstm(scheme, stirred=False)
    addition = read(module, embedding(9), written(module, [0, 1, 2]))
    assert addition.shape == (3, 16, *SIZE)
    assert not addition.any()


def test_a_full_mask_leaves_nothing_outside_in_scheme_a():
    inside, outside = fgstm("a").split(embedding(0), torch.ones(1, 1, *SIZE))
    assert torch.equal(inside[:, 0], embedding(0))
    assert not outside.any()


def test_the_prior_of_scheme_b_starts_near_the_mask():
    hard = torch.zeros(1, 1, *SIZE)
    hard[..., 2:] = 1
    inside, outside = fgstm("b", stirred=False).split(torch.ones(1, CHANNELS, *SIZE), hard)
    expected = torch.where(hard > 0, 0.88, 0.12)
    torch.testing.assert_close(inside[:, :, 0], expected, rtol=0, atol=0.02)
    torch.testing.assert_close(outside[:, :, 0], 1 - expected, rtol=0, atol=0.02)


@pytest.mark.parametrize("scheme", ["a", "b"])
def test_the_read_out_is_one_softmax_over_all_positions_of_all_frames(scheme):
    module = fgstm(scheme)
    state = written(module, [0, 5, 6])
    key, _ = module.query(embedding(7))

    out = read_out(module, embedding(7), state)

    for entry in range(3):
        for region in range(2):
            keys = torch.cat([frame[0, entry, region] for frame in state.keys])
            values = torch.cat([frame[0, entry, region] for frame in state.values])
            assert keys.shape == (3 * 20, 4)
            weights = (key[0] @ keys.T / math.sqrt(4)).softmax(1)
            torch.testing.assert_close(out[entry, region], weights @ values)


def test_the_read_out_lies_within_the_stored_values():
    module = fgstm()
    state = written(module, [0, 5, 6])
    out, stored = read_out(module, embedding(7), state), torch.cat(state.values, 3)[0]
    assert (out <= stored.amax(2, keepdim=True) + 1e-6).all()
    assert (out >= stored.amin(2, keepdim=True) - 1e-6).all()


def test_holding_every_frame_twice_changes_nothing():
    module = fgstm()
    state = written(module, [0, 5, 6])
    twice = FGSTMState(state.born, *(2 * part for part in (state.frames, state.references, state.keys, state.values)))
    torch.testing.assert_close(read(module, embedding(7), twice), read(module, embedding(7), state), rtol=0, atol=1e-5)


def test_the_order_of_the_frames_does_not_matter():
    module = fgstm()
    state = written(module, [0, 5, 10])
    lists = (state.frames, state.references, state.keys, state.values)
    turned = FGSTMState(state.born, *([part[2], part[0], part[1]] for part in lists))
    torch.testing.assert_close(read(module, embedding(11), turned), read(module, embedding(11), state), rtol=0, atol=1e-5)


def test_the_entries_follow_the_order_of_the_objects():
    module, order = fgstm("b"), [0, 2, 1]
    straight = module.write(module.start(1, 3), embedding(0), masks(0), frame=0, known=everybody(), reference=True)
    permuted = module.write(module.start(1, 3), embedding(0), masks(0)[:, order], frame=0, known=everybody(), reference=True)
    torch.testing.assert_close(read(module, embedding(1), permuted), read(module, embedding(1), straight)[order])


def test_an_empty_mask_and_a_full_one_stay_finite():
    module = fgstm()
    soft = torch.zeros(1, 3, *SIZE)
    soft[:, 0] = 1
    state = module.write(module.start(1, 3), embedding(0), soft, frame=0, known=everybody(), reference=True)
    assert read(module, embedding(1), state).isfinite().all()


def test_references_every_fifth_frame_and_the_one_before_are_kept():
    state = written(fgstm(), list(range(14)), references=(0, 7))
    assert state.frames == [0, 5, 7, 10, 13]
    assert state.references == [True, False, True, False, False]


def test_the_frame_before_goes_when_the_next_is_written():
    module = fgstm()
    assert written(module, [0, 1, 2, 3]).frames == [0, 3]
    assert written(module, list(range(12))).frames == [0, 5, 10, 11]


def test_a_full_memory_drops_the_oldest_that_is_no_reference():
    state = written(fgstm(every=1, max_frames=4), list(range(9)), references=(0, 2))
    assert state.frames == [0, 2, 7, 8]


def test_more_references_than_the_bound_all_stay_beside_the_newest():
    state = written(fgstm(every=1, max_frames=2), list(range(6)), references=(0, 1, 2))
    assert state.frames == [0, 1, 2, 5]


def test_the_memory_stops_growing_and_holds_the_first_frame():
    module, sizes = fgstm(every=5, max_frames=6), []
    state = module.start(1, 2)
    with torch.inference_mode():
        for frame in range(500):
            state = module.write(state, embedding(0), masks(0, 2), frame=frame, known=everybody(2), reference=frame == 0)
            sizes.append(state.num_bytes())
    assert len(state.frames) <= 7
    assert state.frames[0] == 0
    assert max(sizes[31:]) == max(sizes[:31])


def test_training_keeps_every_frame_of_a_clip():
    assert written(fgstm().train(), [0, 1, 2, 3]).frames == [0, 1, 2, 3]


def test_a_later_object_reads_only_frames_since_its_own():
    module = fgstm(every=1)
    state = written(module, [0, 1], entries=2).grown(3)
    before = read_out(module, embedding(9), state)
    late = module.write(state, embedding(2), masks(2), frame=2, known=everybody(), reference=True)

    out = read_out(module, embedding(9), late)
    alone = module.write(module.start(1, 3), embedding(2), masks(2), frame=2, known=everybody(), reference=True)
    of_its_own = read_out(module, embedding(9), alone)

    assert not before[2].any()
    assert late.born == [[0, 0, 2]]
    torch.testing.assert_close(out[2], of_its_own[2])
    assert not torch.allclose(out[1], of_its_own[1])


def test_an_entry_that_is_not_introduced_adds_something_finite():
    module = fgstm()
    known = torch.tensor([[True, True, False]])
    state = module.write(module.start(1, 3), embedding(0), masks(0), frame=0, known=known, reference=True)
    assert state.born == [[0, 0, -1]]
    assert read(module, embedding(1), state).isfinite().all()


def test_clips_of_a_batch_do_not_mix():
    module = fgstm("b").train()
    known = torch.tensor([[True, True, False], [True, True, True]])
    state = module.write(module.start(2, 3), embedding(0, 2), masks(0, 3, 2), frame=0, known=known, reference=True)
    alone = module.write(module.start(1, 3), embedding(0, 2)[1:], masks(0, 3, 2)[1:], frame=0, known=known[1:], reference=True)
    both = read(module, embedding(1, 2), state).unflatten(0, (2, 3))  # clip, entry
    torch.testing.assert_close(both[1], read(module, embedding(1, 2)[1:], alone))


def test_entries_that_do_not_run_are_left_out():
    module, state = fgstm(), written(fgstm(), [0, 5])
    out = module.read(embedding(6), state, Entries([0, 0], [0, 2]))
    torch.testing.assert_close(out, read(module, embedding(6), state)[[0, 2]])


def test_an_old_state_is_left_as_it_was():
    module = fgstm()
    state = written(module, [0, 1])
    before = read(module, embedding(5), state)
    module.write(state, embedding(2), masks(2), frame=2, known=everybody(), reference=False)
    assert state.frames == [0, 1]
    assert torch.equal(read(module, embedding(5), state), before)


def test_a_state_is_saved_and_restored_as_plain_values():
    module, file = fgstm(), io.BytesIO()
    state = written(module, [0, 5, 6])
    torch.save(state.fields(), file)
    file.seek(0)
    restored = FGSTMState(**torch.load(file, weights_only=True))
    assert torch.equal(read(module, embedding(7), restored), read(module, embedding(7), state))


@pytest.mark.parametrize("scheme", ["a", "b"])
def test_gradients_flow_through_what_was_written(scheme):
    module = fgstm(scheme).train()
    frames = [embedding(frame).requires_grad_() for frame in range(3)]
    state = module.start(1, 3)
    for number, frame in enumerate(frames[:2]):
        state = module.write(state, frame, masks(number), frame=number, known=everybody(), reference=number == 0)
    read(module, frames[2], state).square().sum().backward()
    dead = [name for name, p in module.named_parameters() if p.grad is None or not p.grad.abs().any()]
    assert dead == []
    assert all(frame.grad is not None and frame.grad.abs().any() for frame in frames)


def test_a_state_written_in_half_precision_is_read_in_full():
    module = fgstm()
    full = written(module, [0, 5])
    with torch.autocast("cpu", torch.bfloat16):
        half = written(module, [0, 5])
    assert half.keys[0].dtype == torch.bfloat16
    torch.testing.assert_close(read(module, embedding(6), half), read(module, embedding(6), full), rtol=0.1, atol=0.05)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scheme": "c"}, "memory.scheme must be a or b, got 'c'"),
        ({"key_dim": 8}, "memory.key_dim must be at most memory.value_dim=6, got 8"),
    ],
)
def test_a_memory_that_cannot_be_built_is_refused(change, words):
    fine = {"channels": 8, "width": 8, "scheme": "a", "key_dim": 4, "value_dim": 6, "every": 5, "max_frames": 20}
    with pytest.raises(ValueError, match=words):
        FGSTM(**{**fine, **change})


def test_soft_masks_are_means_of_windows_centred_on_the_positions():
    label_map = torch.zeros(1, 33, 49, dtype=torch.long)
    label_map[0, 16, 16] = 1
    label_map[0, :9, :9] = 2
    label_map[0, 32, 48] = 255

    soft = soft_masks(label_map, 3, (33, 49))

    assert soft.shape == (1, 3, 3, 4)
    torch.testing.assert_close(soft[0, 1, 1, 1], torch.tensor(1 / 289))
    assert soft[0, 1].count_nonzero() == 1
    assert soft[0, 2, 0, 0] == 1  # beyond the border nothing counts
    torch.testing.assert_close(soft[0, :, 2, 3].sum(), torch.tensor(80 / 81))  # 255 belongs to no entry
    torch.testing.assert_close(soft[0].sum(0)[:2], torch.ones(2, 4))


def test_soft_masks_sample_the_label_map_by_the_plain_nearest_rule():
    label_map = torch.arange(12).view(1, 3, 4) % 3
    rows, columns = torch.arange(17) * 3 // 17, torch.arange(33) * 4 // 33
    expected = soft_masks(label_map[:, rows][:, :, columns], 3, (17, 33))
    assert torch.equal(soft_masks(label_map, 3, (17, 33)), expected)
