"""QMRA over training clips: guided frames, gradients, the loss (specification, section 6)."""

import dataclasses

import pytest
import torch

from tests.methods.qmra_cases import VARIANTS, Counter, clip, qmra, strong
from vosbench.methods.method import Prediction, Step
from vosbench.methods.qmra.loss import QMRALoss
from vosbench.video.clip import Clip

every_variant = pytest.mark.parametrize("name", VARIANTS)


def judged(steps: list[Step], sample: Clip, *, aggregate: bool = False) -> dict[str, torch.Tensor]:
    return QMRALoss(dice_weight=0.1, aggregate=aggregate)(steps, sample, 0)


def step_of(aux: dict[str, torch.Tensor], logits: torch.Tensor) -> Step:
    return Step(Prediction(logits, aux), logits, logits.softmax(1), None)


def perfect(label: torch.Tensor) -> torch.Tensor:
    """Logits of +-20 in favour of the label, (M, H, W) -> (M, 2, H, W)."""
    return torch.stack([20 - 40 * label, 40 * label - 20], 1)


def dead(method: torch.nn.Module) -> set[str]:
    return {name for name, p in method.named_parameters() if p.grad is None or not p.grad.abs().max() > 1e-9}


@every_variant
def test_every_parameter_gets_a_gradient_from_one_group(name):
    method, sample = qmra(*VARIANTS[name]).train(), clip()
    sum(judged(method(sample, 2), sample).values()).backward()
    # A key's bias that meets only queries moves all logits of a location alike, and softmax does not see it.
    shifts = {"kv_m.key.bias"} if name in ("1stage", "NoSiam") else set()
    assert dead(method) == shifts


def test_the_last_mask_alone_trains_stage_one():
    method, sample = qmra().train(), clip()
    judged(method(sample, 2), sample)["refined"].backward()
    assert method.dec_b.pred.weight.grad.abs().max() > 0
    assert method.f_q.conv1.weight.grad.abs().max() > 0


def test_without_the_fed_map_the_masks_do_not_train_stage_one(monkeypatch):
    method, sample = qmra().train(), clip()
    honest = method.with_maps
    monkeypatch.setattr(method, "with_maps", lambda image, maps, **kinds: honest(image, maps.detach(), **kinds))
    second = method.second_stage
    monkeypatch.setattr(method, "second_stage", lambda query, maps, *rest: second(query, maps.detach(), *rest))
    judged(method(sample, 2), sample)["refined"].backward()
    assert method.dec_b.pred.weight.grad is None


@pytest.mark.parametrize("train_feed", ["soft", "rect_st"])
def test_what_is_fed_in_training_has_the_gradient_of_the_soft_map(train_feed):
    method, sample = strong(f"train_feed={train_feed}").train(), clip()
    steps = method(sample, 2)
    fed = steps[2].prediction.trace.maps
    assert bool(((fed < 1e-6) | ((fed - 1).abs() < 1e-6)).all()) == (train_feed == "rect_st")
    judged(steps, sample)["refined"].backward()
    assert method.dec_b.pred.weight.grad.abs().max() > 0


@every_variant
def test_the_terms_are_those_of_the_outputs(name):
    method, sample = qmra(*VARIANTS[name]).train(), clip()
    terms = judged(method(sample, 2), sample)
    expected = {"1stage": {"mask"}, "NoAlign": {"prior", "mask", "refined"}, "without CRM": {"box", "mask"}}
    assert terms.keys() == expected.get(name, {"box", "mask", "refined"})
    assert all(torch.isfinite(term) for term in terms.values())


def test_prompted_frames_are_encoded_once_and_not_segmented():
    method, sample = qmra().train(), clip()
    with_maps, images, masks = (Counter(module) for module in (method.f_m, method.f_q, method.dec_s.pred))
    steps = method(sample, 2)
    # three objects on three frames; two clips and three objects on the last
    assert (with_maps.seen, images.seen, masks.seen) == (9, 2, 3)
    assert [("pairs" in step.prediction.aux) for step in steps] == [False, False, True]
    assert [tuple(step.logits.shape) for step in steps] == [(2, 3, 48, 64)] * 3


def test_an_object_that_is_absent_from_a_prompted_frame_is_remembered_with_an_empty_map():
    method, sample = qmra().train(), clip()
    sample.label_map[0, 1][sample.label_map[0, 1] == 2] = 0
    steps = method(sample, 2)
    maps = steps[1].prediction.trace.maps
    assert steps[1].prediction.trace.seen == [True, False, True]
    assert maps[1].abs().max() == 0
    assert maps[0].sum() == 16 * 20
    assert [len(track) for row in steps[1].memory.tracks for track in row] == [2, 2, 2, 0]


def test_a_group_equals_streaming_with_two_given_boxes():
    method, sample = qmra("feed=soft"), clip()
    with torch.no_grad():
        streamed = method(sample, 2)
        trained = method.train()(sample, 2)
    torch.testing.assert_close(streamed[2].prob, trained[2].prob, rtol=0, atol=1e-5)


@every_variant
def test_annotated_frames_may_be_remembered_without_a_prompt(name):
    method, sample = qmra(*VARIANTS[name]).train(), clip()
    with torch.no_grad():
        prompted = method(sample, 2)[1].memory
        forced = method(sample, 1, 2)[1].memory
    for one, other in zip(prompted.tracks[0], forced.tracks[0], strict=True):
        assert [entry["frame"] for entry in one] == [entry["frame"] for entry in other] == [0, 1]
        torch.testing.assert_close(one[1]["value"], other[1]["value"], rtol=0, atol=1e-5)


def test_correct_logits_cost_nothing_and_the_loss_of_nothing_is_nothing():
    # given an object that leaves before the last frame, and another that stays
    sample = clip()
    sample.label_map[0, 2][sample.label_map[0, 2] == 2] = 0
    pairs = torch.tensor([[0, 0, 1], [0, 1, 0]])
    masks = sample.masks(2)[pairs[0], pairs[1]]
    aux = {"pairs": pairs, "box": perfect(masks), "mask": perfect(masks)}  # rectangles: a mask is its box
    prompted, last = (step_of(made, torch.zeros(2, 3, 48, 64)) for made in ({}, aux))
    terms = judged([prompted, prompted, last], sample)
    assert masks[1].sum() == 0
    assert float(sum(terms.values())) < 1e-3


def test_the_loss_is_cross_entropy_and_a_tenth_of_dice_over_the_pixels_that_count():
    # given one object of two pixels, in a row of four, of which the last is ignored
    label_map = torch.tensor([[[[1, 1, 0, 255]]]])
    sample = Clip(torch.zeros(1, 1, 3, 1, 4), label_map, torch.tensor([[True]]), ["made"], [["0"]])
    logits = torch.tensor([[[0.0, 0.0, 0.0, 0.0]], [[2.0, -1.0, 0.5, 9.0]]])[None]
    terms = judged([step_of({"pairs": torch.tensor([[0], [0]]), "mask": logits}, torch.zeros(1, 2, 1, 4))], sample)
    p = torch.tensor([2.0, -1.0, 0.5]).sigmoid().tolist()
    entropy = -(torch.tensor([p[0], p[1], 1 - p[2]]).log()).mean()
    dice = 1 - (2 * (p[0] + p[1]) + 1) / (sum(p) + 2 + 1)
    assert float(terms["mask"]) == pytest.approx(float(entropy) + 0.1 * dice, abs=1e-6)


def test_the_label_of_a_box_map_is_the_filled_box_of_the_mask():
    sample = clip(1)
    sample.label_map[:] = 0
    sample.label_map[1, 0, 5:30, 9] = sample.label_map[1, 0, 12, 9:40] = 1
    filled = torch.zeros(1, 48, 64)
    filled[0, 5:30, 9:40] = 1
    aux = {"pairs": torch.tensor([[1], [0]]), "box": perfect(filled), "mask": perfect(filled)}
    terms = judged([step_of(aux, torch.zeros(2, 3, 48, 64))], sample)
    assert float(terms["box"]) < 1e-3
    assert float(terms["mask"]) > 1


def test_masks_may_be_judged_after_aggregation():
    method, sample = qmra().train(), clip()
    steps = method(sample, 2)
    free, exclusive = judged(steps, sample), judged(steps, sample, aggregate=True)
    prob = steps[2].prob[0, 1].clamp(1e-6, 1 - 1e-6)
    aux = steps[2].prediction.aux
    single = {"pairs": torch.tensor([[0], [0]]), "refined": torch.stack([(1 - prob).log(), prob.log()])[None]}
    alone = dataclasses.replace(steps[2], prediction=Prediction(steps[2].logits, single))
    kept = dataclasses.replace(steps[2], prediction=Prediction(steps[2].logits, {**aux, "pairs": aux["pairs"]}))
    assert free["mask"] == exclusive["mask"]
    assert free["refined"] != exclusive["refined"]
    # of one object, both ways of writing it down agree
    first = dataclasses.replace(
        kept, prediction=Prediction(steps[2].logits, {"pairs": single["pairs"], "refined": aux["refined"][:1]})
    )
    torch.testing.assert_close(
        judged([steps[0], steps[1], first], sample, aggregate=True)["refined"],
        judged([steps[0], steps[1], alone], sample)["refined"],
        rtol=1e-4,
        atol=1e-5,
    )


def test_a_batch_without_objects_costs_nothing():
    sample = clip()
    sample.label_map[:] = 0
    empty = dataclasses.replace(sample, present=torch.zeros(2, 2, dtype=torch.bool))
    terms = judged(qmra().train()(empty, 2), empty)
    assert [float(term) for term in terms.values()] == [0.0]


def test_mixed_precision_gives_float_probabilities_near_the_full_ones():
    method, sample = qmra().train(), clip(4)
    full = method(sample, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = method(sample, 2)
    assert mixed[-1].prob.dtype == torch.float32
    torch.testing.assert_close(mixed[-1].prob, full[-1].prob, rtol=0, atol=0.05)
    method.eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.isfinite(method(sample)[-1].prob).all()


def test_the_tiny_form_learns_a_group():
    torch.manual_seed(0)
    method, sample = qmra().train(), clip()
    optimizer = torch.optim.Adam(method.parameters(), lr=2e-3)
    losses = []
    for _ in range(20):
        loss = sum(judged(method(sample, 2), sample).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_a_clip_keeps_every_memory_it_has_handed_out():
    method, video = qmra().train(), clip(4)
    with torch.no_grad():
        steps = method(video, 2)
    kept = [[len(track) for track in step.memory.tracks[0]] for step in steps]
    assert kept == [[1, 1], [2, 2], [3, 3], [3, 3]]
