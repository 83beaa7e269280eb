"""Gated propagation, DeAOT's stack: its equations against plain loops, what it remembers, its parameters."""

import math

import pytest
import torch
from torch import Tensor, nn

from vosbench.methods.aot_capa import gated
from vosbench.methods.aot_capa.gated import GatedBlock, GatedPropagation, attended

SIZE = (4, 5)
TOKENS = 20
WIDTH = 8
RADIUS = 1


def stack(layers: int = 2, *, radius: int = RADIUS, drop_path: float = 0.0, dropout: float = 0.0, seed: int = 0):
    """A small stack with strong random weights."""
    torch.manual_seed(seed)
    network = GatedPropagation(width=WIDTH, blocks=layers, radius=radius, drop_path=drop_path, dropout=dropout)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.6)
    return network.eval()


def tokens(seed: int, frames: int = 1, batch: int = 1) -> Tensor:
    return torch.randn(batch, frames * TOKENS, WIDTH, generator=torch.Generator().manual_seed(seed))


def silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def mixed(part: nn.Module, gated_values: Tensor) -> Tensor:
    """Depth-wise 5x5, then the projection, of one map's tokens."""
    height, width = SIZE
    grid = gated_values.view(height, width, -1)
    out = torch.zeros_like(grid)
    for y in range(height):
        for x in range(width):
            for dy in range(-2, 3):
                for dx in range(-2, 3):
                    if 0 <= y + dy < height and 0 <= x + dx < width:
                        out[y, x] += grid[y + dy, x + dx] * part.dw_conv.weight[:, 0, dy + 2, dx + 2]
    return part.projection(out.flatten(0, 1))


def long_read(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    rows = []
    for q in query:
        score = torch.stack([(q * k).sum() / math.sqrt(len(q)) for k in key])
        rows.append((score.exp() / score.exp().sum()) @ value)
    return torch.stack(rows)


def window_read(part: nn.Module, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    height, width = SIZE
    weight, bias = part.relative_emb_k.weight[:, :, 0, 0], part.relative_emb_k.bias
    rows = []
    for place, q in enumerate(query):
        y, x = divmod(place, width)
        scores, values = [], []
        for number, (dy, dx) in enumerate((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)):
            if 0 <= y + dy < height and 0 <= x + dx < width:
                other = (y + dy) * width + x + dx
                scores.append((q * key[other]).sum() / math.sqrt(len(q)) + weight[number] @ q + bias[number])
                values.append(value[other])
        score = torch.stack(scores)
        rows.append((score.exp() / score.exp().sum()) @ torch.stack(values))
    return torch.stack(rows)


def by_hand(block: GatedBlock, x: Tensor, z: Tensor | None, long: list[Tensor], short: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Specification 3.7 for one sample, tokens (S, C)."""
    y = block.norm1(x)
    query = block.linear_qv(y)[:, : WIDTH // 2]
    if z is None:
        gate = torch.cat([silu(block.linear_u(y)), torch.ones(len(x), 2 * WIDTH)], 1)
        z = torch.zeros_like(x)
    else:
        gate = silu(torch.cat([block.linear_u(y), block.linear_id_u(block.id_norm1(z))], 1))
    far, near = block.long_term_attn, block.short_term_attn
    moved = mixed(far, long_read(query, long[0], torch.cat(long[1:], 1)) * gate)
    moved = moved + mixed(near, window_read(near, query, short[0], torch.cat(short[1:], 1)) * gate)
    x, z = x + moved[:, :WIDTH], z + moved[:, WIDTH:]
    own, xn, zn = block.self_attn, block.norm2(x), block.id_norm2(z)
    query = own.linear_qk(torch.cat([xn, zn], 1))
    value = silu(torch.cat([own.linear_v1(xn), own.linear_v2(zn)], 1))
    gate = silu(torch.cat([own.linear_u1(xn), own.linear_u2(zn)], 1))
    moved = mixed(own, long_read(query, query, value) * gate)
    return x + moved[:, :WIDTH], z + moved[:, WIDTH:]


@torch.no_grad()
def test_two_blocks_equal_plain_loops():
    # given a memory of two frames, the second of them the short-term one
    network = stack()
    stored = []
    for seed in (1, 2):
        _, candidates = network(tokens(seed), SIZE, None, None, tokens(10 + seed))
        stored.append(network.fuse(candidates, tokens(10 + seed)))
    long = [[torch.cat(parts, 1) for parts in zip(*block, strict=True)] for block in zip(*stored, strict=True)]
    # when
    outputs, _ = network(tokens(3), SIZE, long, stored[1], None)
    # then
    x, z = tokens(3)[0], None
    for number, block in enumerate(network.layers):
        x, z = by_hand(block, x, z, [part[0] for part in long[number]], [part[0] for part in stored[1][number]])
    norm = network.decoder_norm
    halves = [(half - half.mean()) / (half.var(correction=0) + 1e-5).sqrt() for half in (x, z)]
    torch.testing.assert_close(outputs[0][0], torch.cat(halves, 1) * norm.weight + norm.bias, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_values_of_the_identity_are_made_when_the_mask_is_known():
    # given
    network, identity = stack(), tokens(5)
    # when
    _, candidates = network(tokens(1), SIZE, None, None, tokens(4))
    fused = network.fuse(candidates, identity)
    # then: key and value stay, and V_id comes from the normalised identity branch, if there is one, and the mask
    first, second = network.layers
    assert [len(parts) for parts in candidates] == [2, 3]
    for candidate, parts in zip(candidates, fused, strict=True):
        assert torch.equal(candidate[0], parts[0])
        assert torch.equal(candidate[1], parts[1])
        assert [part.shape for part in parts] == [(1, TOKENS, 4), (1, TOKENS, 16), (1, TOKENS, 16)]
    torch.testing.assert_close(fused[0][2], silu(first.linear_id_v(identity)))
    torch.testing.assert_close(fused[1][2], silu(second.linear_id_v(torch.cat([candidates[1][2], identity], 2))))


@torch.no_grad()
def test_a_reference_frame_is_its_own_memory():
    network, identity = stack(), tokens(5)
    outputs, candidates = network(tokens(1), SIZE, None, None, identity)
    own = network.fuse(candidates, identity)
    again, _ = network(tokens(1), SIZE, own, own, None)
    torch.testing.assert_close(outputs, again)


@torch.no_grad()
def test_the_order_of_stored_frames_and_doubling_the_memory_change_nothing():
    network = stack()
    stored = []
    for seed in (1, 2):
        _, candidates = network(tokens(seed), SIZE, None, None, tokens(10 + seed))
        stored.append(network.fuse(candidates, tokens(10 + seed)))

    def read(order: list[int]) -> Tensor:
        long = [
            [torch.cat([stored[frame][number][part] for frame in order], 1) for part in range(3)]
            for number in range(len(network.layers))
        ]
        return network(tokens(3), SIZE, long, stored[1], None)[0][0]

    torch.testing.assert_close(read([1, 0]), read([0, 1]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(read([0, 1, 0, 1]), read([0, 1]), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(read([0]), read([0, 1]), atol=1e-2)


@torch.no_grad()
def test_many_stored_tokens_are_read_in_pieces(monkeypatch):
    query, key, values = torch.randn(2, 7, 4), torch.randn(2, 30, 4), [torch.randn(2, 30, 3), torch.randn(2, 30, 5)]
    whole = attended(query, key, values)
    monkeypatch.setattr(gated, "SCORES", 2 * 30 * 2)
    torch.testing.assert_close(attended(query, key, values), whole)


def test_a_batch_equals_single_runs_in_training():
    network = stack().train()
    x, identity = torch.cat([tokens(1), tokens(2)]), torch.cat([tokens(3), tokens(4)])
    together = network(x, SIZE, None, None, identity)[0][0]
    for row in range(2):
        alone = network(x[row : row + 1], SIZE, None, None, identity[row : row + 1])[0][0]
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-4, atol=1e-5)


def test_gradients_reach_every_parameter():
    network = stack().train()
    _, candidates = network(tokens(1), SIZE, None, None, tokens(2))
    fused = network.fuse(candidates, tokens(2))
    network(tokens(3), SIZE, fused, fused, None)[0][0].square().sum().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


def test_whole_channels_and_whole_samples_are_dropped_in_training_alone():
    network = stack(1, dropout=0.5)
    part, values = network.layers[0].long_term_attn, torch.rand(1, TOKENS, 32) + 0.5
    part.dw_conv.weight.data = part.dw_conv.weight.data.abs() + 0.1
    part.projection = nn.Identity()
    gate = torch.ones_like(values)
    kept = (part.train().gated(values, gate, SIZE) != 0).float().mean(1)
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    assert bool((part.eval().gated(values, gate, SIZE) != 0).all())


def test_the_decoder_reads_both_branches_of_the_last_block():
    network = stack(3)
    outputs, candidates = network(tokens(1), SIZE, None, None, tokens(2))
    assert [output.shape for output in outputs] == [(1, TOKENS, network.decoder_outputs)]
    assert network.decoder_outputs == 2 * WIDTH
    assert len(candidates) == 3


@pytest.mark.parametrize(("layers", "count"), [(1, 2_701_409), (2, 5_665_986), (3, 8_630_563)])
def test_published_stacks_have_their_parameters(layers, count):
    """Counted by hand from specification 3.7; a further block is the difference between DeAOT-T, -S and -B, 2,964,577."""
    with torch.device("meta"):
        network = GatedPropagation(width=256, blocks=layers, radius=7, drop_path=0.1, dropout=0.1)
    assert sum(parameter.numel() for parameter in network.layers.parameters()) == count


@torch.no_grad()
def test_weights_start_as_xaviers():
    network = GatedPropagation(width=64, blocks=1, radius=7, drop_path=0.0, dropout=0.0)
    for parameter in (network.layers[0].linear_u.weight, network.layers[0].short_term_attn.relative_emb_k.weight):
        bound = math.sqrt(6 / (parameter.shape[0] + parameter.shape[1]))
        assert float(parameter.abs().max()) <= bound
        assert float(parameter.std()) == pytest.approx(bound / math.sqrt(3), rel=0.05)
