"""What every method that `conf/method/` names has to keep, whatever its paper."""

import io

import numpy as np
import pytest
import torch

from tests.methods.built import METHODS, built
from vosbench.inference.session import Session
from vosbench.methods.method import Masks, Method, Prompted
from vosbench.video.clip import Clip

SIZE = 64


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> Method:
    return built(request.param)


def video(frames: int, height: int = SIZE, width: int = SIZE, seed: int = 0) -> np.ndarray:
    """Noise, smooth enough to look like something: (T, H, W, 3) uint8."""
    coarse = np.random.default_rng(seed).integers(0, 255, (frames, height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2)[:, :height, :width]


def square(top: int, left: int, side: int = 20, height: int = SIZE, width: int = SIZE) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def stream(method: Method, frames: np.ndarray, prompts: dict[int, dict[int, np.ndarray]]) -> list[torch.Tensor]:
    session = Session(method)
    return [session.step(image, prompts.get(t)) for t, image in enumerate(frames)]


def clip_of(frames: int, objects: int = 2, batch: int = 2) -> Clip:
    label_map = np.zeros((batch, frames, SIZE, SIZE), np.int64)
    for t in range(frames):
        label_map[:, t, 4 + t : 24 + t, 4:24] = 1
        if objects > 1:
            label_map[:, t, 34:54, 30 + t : 50 + t] = 2
    image = torch.from_numpy(np.stack([video(frames, seed=b) for b in range(batch)])).permute(0, 1, 4, 2, 3).float() / 255
    present = torch.ones(batch, objects, dtype=torch.bool)
    return Clip(image, torch.from_numpy(label_map), present, ["made"] * batch, [[str(t) for t in range(frames)]] * batch)


def wake(method: Method) -> None:
    """Give random numbers to what starts as nothing, such as the last layer of a residual: behind a zero nothing learns in
    the first step."""
    for parameter in method.parameters():
        if parameter.requires_grad and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)


def test_probabilities_sum_to_one_at_the_frames_own_size(method):
    frames = video(4, 50, 83)
    probs = stream(method, frames, {0: {3: square(5, 5, height=50, width=83), 9: square(20, 50, height=50, width=83)}})
    for prob in probs:
        assert prob.shape == (3, 50, 83)
        assert prob.dtype == torch.float32
        torch.testing.assert_close(prob.sum(0), torch.ones(50, 83), rtol=0, atol=1e-4)
        assert prob.min() >= 0


def test_the_prompted_frame_holds_the_given_mask_or_knows_its_box_alone(method):
    mask = square(7, 9)
    session = Session(method)
    prob = session.step(video(1)[0], {5: mask})
    if "mask" in method.prompt_kinds:
        assert np.array_equal(session.label_map(prob) == 5, mask)
    else:
        hollow = mask.copy()
        rows, columns = np.nonzero(mask)
        hollow[rows.min() + 1 : rows.max(), columns.min() + 1 : columns.max()] = False
        assert torch.equal(prob, Session(method).step(video(1)[0], {5: hollow}))


def test_permuting_the_objects_permutes_the_answer(method):
    frames, first, second = video(5), square(4, 4), square(34, 34)
    straight = stream(method, frames, {0: {1: first, 2: second}})
    swapped = stream(method.relabelled([1, 0]), frames, {0: {2: second, 1: first}})
    for a, b in zip(straight, swapped, strict=True):
        torch.testing.assert_close(a, b[[0, 2, 1]], rtol=0, atol=2e-5)


def test_a_frame_does_not_depend_on_later_frames(method):
    frames, prompts = video(6), {0: {1: square(4, 4)}}
    changed = frames.copy()
    changed[4:] = 255 - changed[4:]
    for a, b in zip(stream(method, frames, prompts)[:4], stream(method, changed, prompts)[:4], strict=True):
        assert torch.equal(a, b)


def test_the_same_video_gives_the_same_numbers_twice(method):
    frames, prompts = video(5), {0: {1: square(4, 4)}, 2: {2: square(30, 30)}}
    for a, b in zip(stream(method, frames, prompts), stream(method, frames, prompts), strict=True):
        assert torch.equal(a, b)


def test_a_late_object_has_no_channel_before_its_prompt_and_one_from_then_on(method):
    frames, mask = video(6), square(30, 30)
    session, channels, seen = Session(method), [], []
    for t, image in enumerate(frames):
        prob = session.step(image, {0: {1: square(4, 4)}, 3: {8: mask}}.get(t))
        channels.append(prob.shape[0])
        seen.append(8 in session.label_map(prob))
    assert channels == [2, 2, 2, 3, 3, 3]
    assert not any(seen[:3])
    assert seen[3]


def test_nothing_prompted_yet_is_all_background(method):
    session = Session(method)
    prob = session.step(video(1)[0])
    assert torch.equal(prob, torch.ones(1, SIZE, SIZE))
    assert session.memory is None


def test_an_empty_mask_registers_nothing_and_crashes_nothing(method):
    session = Session(method)
    prob = session.step(video(1)[0], {4: np.zeros((SIZE, SIZE), bool)})
    assert session.object_ids == []
    assert prob.shape[0] == 1


def test_memory_stops_growing(method):
    session, sizes = Session(method), []
    for t, image in enumerate(video(80)):
        session.step(image, {1: square(4, 4), 2: square(34, 34)} if t == 0 else None)
        sizes.append(session.memory.num_bytes())
    assert max(sizes[60:]) <= max(sizes[30:60])


def test_an_old_memory_is_left_as_it_was(method):
    frames = torch.from_numpy(video(3)).permute(0, 3, 1, 2).float() / 255
    prompted = Prompted(torch.from_numpy(square(4, 4))[None, None].float(), torch.ones(1, 1, dtype=torch.bool))
    with torch.no_grad():
        features = method.eval().encode(frames)
        memory = method.step(features.rows(0, 1), method.start(1, 1, (SIZE, SIZE)), 0, prompted).memory
        before = method.segment(features.rows(2, 3), memory).logits
        later = method.step(features.rows(1, 2), memory, 1).memory
        method.step(features.rows(2, 3), later, 2)
        after = method.segment(features.rows(2, 3), memory).logits
    assert torch.equal(before, after)


def test_a_memory_saved_in_mid_video_goes_on_exactly(method):
    frames = torch.from_numpy(video(6)).permute(0, 3, 1, 2).float() / 255
    prompted = Prompted(torch.from_numpy(square(4, 4))[None, None].float(), torch.ones(1, 1, dtype=torch.bool))
    with torch.no_grad():
        features = method.eval().encode(frames)
        memory = method.start(1, 1, (SIZE, SIZE))
        for t in range(3):
            memory = method.step(features.rows(t, t + 1), memory, t, prompted if t == 0 else None).memory
        file = io.BytesIO()
        torch.save(memory.detach().to("cpu").fields(), file)
        file.seek(0)
        restored = type(memory)(**torch.load(file, weights_only=True))
        for t in range(3, 6):
            straight = method.step(features.rows(t, t + 1), memory, t)
            resumed = method.step(features.rows(t, t + 1), restored, t)
            assert torch.equal(straight.prob, resumed.prob)
            memory, restored = straight.memory, resumed.memory


def test_masks_of_later_frames_never_reach_the_method(method):
    seen: list[Masks] = []
    honest = method.memorize
    method.memorize = lambda features, prediction, masks, memory, frame: (  # type: ignore[method-assign]
        seen.append(masks) or honest(features, prediction, masks, memory, frame)
    )
    stream(method, video(4), {0: {1: square(4, 4)}})
    assert [bool(masks.given.any()) for masks in seen] == [True, False, False, False]


def test_an_unroll_over_a_clip_gives_one_step_a_frame(method):
    clip = clip_of(4)
    steps = method(clip)
    assert [tuple(step.logits.shape) for step in steps] == [(2, 3, SIZE, SIZE)] * 4


def test_the_last_frame_of_a_clip_is_not_remembered(method, monkeypatch):
    remembered, memorize = [], method.memorize
    monkeypatch.setattr(method, "memorize", lambda *given: remembered.append(given[-1]) or memorize(*given))
    with torch.no_grad():
        method(clip_of(3))
    assert remembered == [0, 1]


def test_every_trainable_parameter_gets_a_gradient_and_no_frozen_one_does(method):
    torch.manual_seed(0)
    if not method.learns:
        assert not list(method.parameters())
        return
    wake(method)
    clip = clip_of(4)
    steps = method.train()(clip)
    loss = sum(torch.nn.functional.cross_entropy(step.logits, clip.label_map[:, t]) for t, step in enumerate(steps) if t)
    loss.backward()
    dead = [name for name, p in method.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.abs().any())]
    moved = [name for name, p in method.named_parameters() if not p.requires_grad and p.grad is not None]
    assert dead == []
    assert moved == []


def test_a_channel_without_an_object_changes_nothing_for_the_others(method):
    method.eval()
    clip = clip_of(3, objects=1)
    padded = Clip(clip.image, clip.label_map, torch.tensor([[True, False]] * 2), clip.sequence, clip.frame_names)
    with torch.no_grad():
        torch.manual_seed(1)
        alone = method(clip)
        torch.manual_seed(1)
        beside = method(padded)
    for a, b in zip(alone, beside, strict=True):
        torch.testing.assert_close(a.prob, b.prob[:, :2], rtol=0, atol=1e-5)
