"""Attention of AOT's blocks against plain loops and dense attention, and its identities against a convolution."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vosbench.methods.aot_capa.attention import attend, heads_apart, heads_joined, window_attention
from vosbench.methods.aot_capa.identity_bank import IdentityBank
from vosbench.methods.aot_capa.lstt import ShortTermAttention

GRID, HEADS, DEPTH, VALUE = (5, 6), 2, 4, 6


def tokens(width: int, seed: int, grid: tuple[int, int] = GRID, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, grid[0] * grid[1], HEADS * width, generator=generator)


def directly(query: Tensor, key: Tensor, value: Tensor, relative: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """Offset by offset, as the specification writes it (3.5)."""
    (height, width), side = GRID, 2 * radius + 1
    output, weights = torch.zeros_like(value), torch.zeros_like(relative)
    for place in range(height * width):
        y, x = divmod(place, width)
        scores, values = [], []
        for offset in range(side * side):
            row, column = y + offset // side - radius, x + offset % side - radius
            inside = 0 <= row < height and 0 <= column < width
            other = row * width + column if inside else 0
            score = (query[:, :, place] * key[:, :, other]).sum(-1) / query.shape[-1] ** 0.5 + relative[:, :, place, offset]
            scores.append(score if inside else torch.full_like(score, -1e8))
            values.append(value[:, :, other])
        weights[:, :, place] = torch.stack(scores, -1).softmax(-1)
        output[:, :, place] = (weights[:, :, place, :, None] * torch.stack(values, 2)).sum(2)
    return output, weights


@pytest.mark.parametrize("radius", [1, 2, 7])
@pytest.mark.parametrize("gradients", [True, False])
def test_a_window_is_read_as_offset_by_offset_at_the_border_and_inside(radius, gradients):
    query, key, value = (heads_apart(tokens(width, seed), HEADS) for seed, width in enumerate((DEPTH, DEPTH, VALUE)))
    relative = torch.randn(2, HEADS, 30, (2 * radius + 1) ** 2, generator=torch.Generator().manual_seed(5))
    with torch.set_grad_enabled(gradients):  # without gradients the heads are taken one after the other
        output, weights = window_attention(query, key, value, relative, GRID, radius)
    expected, expected_weights = directly(query, key, value, relative, radius)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(weights, expected_weights, rtol=0, atol=1e-6)


def test_a_window_over_the_whole_map_without_relative_terms_is_attention_to_the_frame():
    query, key, value = tokens(DEPTH, 0), tokens(DEPTH, 1), tokens(VALUE, 2)
    relative = torch.zeros(2, HEADS, 30, 13 * 13)
    apart = (heads_apart(each, HEADS) for each in (query, key, value))
    output, _ = window_attention(*apart, relative, GRID, radius=6)
    torch.testing.assert_close(heads_joined(output), attend(query, key, value, HEADS), rtol=0, atol=1e-5)


def test_offsets_have_keys_of_the_unscaled_query_and_values_of_their_own():
    torch.manual_seed(3)
    module, radius = ShortTermAttention(HEADS * DEPTH, HEADS, 2), 2
    with torch.no_grad():
        module.relative_emb_v.normal_()
    query, key, value = (tokens(DEPTH, seed) for seed in range(3))
    apart = heads_apart(query, HEADS)
    weight = module.relative_emb_k.weight.view(HEADS, 25, DEPTH)
    bias = module.relative_emb_k.bias.view(HEADS, 25)
    relative = torch.einsum("bapd,aod->bapo", apart, weight) + bias[None, :, None]
    read, weights = directly(apart, heads_apart(key, HEADS), heads_apart(value, HEADS), relative, radius)
    read = read + torch.einsum("bapo,ado->bapd", weights, module.relative_emb_v)
    expected = module.projection(heads_joined(read))
    torch.testing.assert_close(module(query, key, value, GRID), expected, rtol=0, atol=1e-5)


def test_gradients_of_a_window_are_those_of_the_loops():
    parts = [heads_apart(tokens(DEPTH, seed), HEADS).double().requires_grad_() for seed in range(3)]
    relative = torch.randn(2, HEADS, 30, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(5)).requires_grad_()
    weight = torch.randn(2, HEADS, 30, DEPTH, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    found = torch.autograd.grad((window_attention(*parts, relative, GRID, 1)[0] * weight).sum(), [*parts, relative])
    looped = [*parts, relative]
    (height, width), rows = GRID, []
    place = torch.arange(height * width)
    for y, x in [divmod(int(number), width) for number in place]:
        near = [
            (row * width + column, (row - y + 1) * 3 + column - x + 1)
            for row in range(max(0, y - 1), min(height, y + 2))
            for column in range(max(0, x - 1), min(width, x + 2))
        ]
        others, offsets = [other for other, _ in near], [offset for _, offset in near]
        score = (parts[1][:, :, others] @ parts[0][:, :, y * width + x, :, None])[..., 0] / DEPTH**0.5
        attention = (score + relative[:, :, y * width + x, offsets]).softmax(-1)
        rows.append((attention[..., None] * parts[2][:, :, others]).sum(2))
    expected = torch.autograd.grad((torch.stack(rows, 2) * weight).sum(), looped)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("align_corners", "size"), [(True, (33, 49)), (False, (32, 48))])
def test_the_identity_of_a_map_looked_up_is_the_convolution_of_its_one_hot_form(align_corners, size):
    torch.manual_seed(0)
    bank = IdentityBank(3, 8, align_corners=align_corners, norm=True)
    label_map = torch.randint(4, (2, *size))
    one_hot = F.one_hot(label_map, 4).permute(0, 3, 1, 2).float()
    with torch.no_grad():  # where the table is looked up
        torch.testing.assert_close(bank.embed(label_map), bank(one_hot), rtol=0, atol=1e-5)
    torch.testing.assert_close(bank.embed(label_map), bank(one_hot), rtol=0, atol=1e-6)
