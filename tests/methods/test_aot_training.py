"""AOT while it learns: identities, frozen parts, sequential training, loss (invariants 3, 10, 14, 16 and 20)."""

import pytest
import torch
from torch.nn import functional as F

from tests.methods.aot_cases import aot, clip, one_clip
from tests.methods.built import composed
from vosbench.methods.aot_capa.loss import AOTLoss, soft_jaccard_loss
from vosbench.methods.aot_capa.network import AOT

FROZEN = ("encoder.freeze=true",)  # constant batch norms, so that a sample does not see the others


def with_order(method: AOT, order: list[int], monkeypatch: pytest.MonkeyPatch) -> AOT:
    """Always that order of identities instead of a drawn one."""
    monkeypatch.setattr(method, "_orders", lambda batch, groups: torch.tensor(order).expand(batch, groups, -1))
    return method


def loss_of(method: AOT, sample, forced: int = 4) -> torch.Tensor:
    return torch.stack(list(AOTLoss(1.0, 1, 100)(method(sample, 1, forced), sample, 10).values())).sum()


@pytest.mark.parametrize("order", [[2, 0, 1], [0, 2, 1]])
def test_drawn_identities_are_those_of_a_network_with_exchanged_weights(order, monkeypatch):
    method = aot().train()
    exchanged = with_order(method.relabelled(order).train(), [0, 1, 2], monkeypatch)
    drawn = with_order(method, order, monkeypatch)
    torch.testing.assert_close(loss_of(drawn, clip()), loss_of(exchanged, clip()), rtol=0, atol=1e-5)
    plain = with_order(aot().train(), [0, 1, 2], monkeypatch)
    assert (loss_of(plain, clip()) - loss_of(exchanged, clip())).abs() > 1e-4


def test_identities_are_drawn_in_training_alone_and_for_every_clip():
    method = aot().train()
    drawn = {tuple(row) for row in method.start(64, 3, (49, 65)).order[:, 0].tolist()}
    assert len(drawn) == 6
    assert method.eval().start(2, 5, (49, 65)).order.tolist() == [[[0, 1, 2], [0, 1, 2]]] * 2


def test_a_batch_of_two_equals_two_runs_in_training(monkeypatch):
    method, both = with_order(aot(*FROZEN).train(), [0, 1, 2], monkeypatch), clip()
    together = torch.stack([step.logits for step in method(both)[1:]])
    for number in range(2):
        alone = torch.stack([step.logits for step in method(one_clip(both, number))[1:]])
        torch.testing.assert_close(together[:, number : number + 1], alone, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["aot_tiny", "aot_paper", "aot_capa_tiny", "aot_capa_paper"])
def test_recipes_freeze_the_identity_bank_when_own_masks_are_written(name):
    method, size = name.rsplit("_", 1)
    stages = composed(method, f"size={size}").stages
    later = [stages[stage] for stage in stages.chain if (stages[stage].get("guidance") or {}).get("switch")]
    assert later
    for stage in later:
        assert stage.freeze == [["identity_bank", stage.guidance.switch]]
        assert stage.guidance.forced_later == 1


@pytest.mark.parametrize("changes", [(), ("lstt.block=v2",), ("lstt.block=gated",)])
def test_own_masks_pass_no_gradient_and_a_frozen_bank_stays_as_it_is(changes):
    method = aot(*changes).train()
    bank = {name: tensor.clone() for name, tensor in method.identity_bank.state_dict().items()}
    method.identity_bank.requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=1e-2)
    loss_of(method, clip(), forced=1).backward()
    without = [name for name, p in method.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    optimizer.step()
    for name, tensor in method.identity_bank.state_dict().items():
        assert torch.equal(tensor, bank[name])


@pytest.mark.parametrize("freeze", [True, False])
def test_a_frozen_affinity_branch_does_not_move_and_another_does(freeze):
    method = aot(f"capa.freeze={str(freeze).lower()}", name="aot_capa").train()
    with torch.no_grad():
        method.decoder.adapter_4x.weight.normal_()
    before = {name: tensor.clone() for name, tensor in method.capa.state_dict().items()}
    learning = [parameter for parameter in method.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-2)
    loss_of(method, clip()).backward()
    optimizer.step()
    grads = [parameter.grad is None for name, parameter in method.capa.named_parameters() if not name.startswith("predict")]
    assert all(grads) if freeze else not any(grads)
    after = method.capa.state_dict()
    moved = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    if freeze:
        assert moved == set()
    else:
        assert any("running_mean" in name for name in moved)
        assert any(name.endswith("weight") for name in moved)


def test_mining_counts_exactly_the_hardest_pixels():
    method, sample = aot().eval(), one_clip(clip(2), 0)
    steps = method(sample)
    steps[1].logits = steps[1].logits.detach().requires_grad_()
    terms = AOTLoss(0.15, 100, 1)(steps, sample, 200)
    (gradient,) = torch.autograd.grad(terms["ce"], steps[1].logits)
    pixels = sample.label_map[0, 0].numel()
    assert int((gradient.abs().sum(1) > 0).sum()) == int(0.15 * pixels)
    hardest = F.cross_entropy(steps[1].logits, sample.label_map[:, 1], reduction="none").flatten().sort(descending=True).values
    torch.testing.assert_close(terms["ce"], 0.5 * hardest[: int(0.15 * pixels)].mean())


def test_a_perfect_prediction_costs_nothing_and_absent_classes_do_not_count():
    label_map = torch.zeros(1, 8, 8, dtype=torch.long)
    label_map[:, 2:6, 2:6] = 1
    perfect = F.one_hot(label_map, 4).permute(0, 3, 1, 2).float() * 40
    assert soft_jaccard_loss(perfect, label_map) < 1e-3
    # half the object is missed: 1 - mean(8/16, 48/56), whatever classes 2 and 3 may be
    half = perfect.clone()
    half[:, :, 2:4, 2:6] = torch.tensor([40.0, 0, 0, 0])[None, :, None, None]
    torch.testing.assert_close(soft_jaccard_loss(half, label_map), torch.tensor(1 - (8 / 16 + 48 / 56) / 2), rtol=0, atol=1e-4)
    label_map[:, 2:4] = 255  # and what is not annotated neither
    assert soft_jaccard_loss(half, label_map) < 1e-3


def test_the_reference_frame_counts_while_training_is_young():
    method, sample = aot().train(), clip(2)
    steps = method(sample)
    loss = AOTLoss(1.0, 1, 10)
    young, middle, old = (loss(steps, sample, iteration) for iteration in (0, 5, 10))
    torch.testing.assert_close(middle["reference"], 0.5 * young["reference"])
    assert "reference" not in old
