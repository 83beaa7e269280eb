"""STML against joint attention with a block mask, written out with plain softmax."""

import pytest
import torch
from torch import Tensor

from tests.methods.stma_cases import frames, stma, stream, two_objects
from vosbench.methods.stma.stml import STML

L, N, M = 6, 3, 2  # tokens of a frame, objects, references


@pytest.fixture
def stml() -> STML:
    return stma().stml


@pytest.fixture
def streams() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return tuple(torch.randn(2, *shape, generator=generator) for shape in [(L, 64), (M, L, 64), (N, 64)])


def masked_joint(stml: STML, test: Tensor, references: Tensor, objects: Tensor, allowed: Tensor) -> Tensor:
    """The oracle: one sequence [test; references; objects], who may see whom in `allowed`, softmax by hand."""
    x = torch.cat([test, references.flatten(1, 2), objects], 1)
    for layer in stml.blocks:
        normal = layer.norm1(x)
        q, k, v = (part.unflatten(2, (2, 32)).transpose(1, 2) for part in layer.attn.qkv(normal).chunk(3, 2))
        score = (q @ k.transpose(2, 3) / 32**0.5).masked_fill(~allowed[:, None], -1e30)
        x = x + layer.attn.proj((score.softmax(3) @ v).transpose(1, 2).flatten(2))
        x = x + layer.mlp(layer.norm2(x))
    return stml.norm(x[:, :L])


def block_mask(valid: Tensor) -> Tensor:
    total = L + M * L + N
    allowed = torch.zeros(len(valid), total, total, dtype=torch.bool)
    allowed[:, :L, : L + M * L] = True
    for i in range(M):
        own = slice(L + i * L, L + (i + 1) * L)
        allowed[:, own, own] = True
    allowed[:, L:, -N:] = valid[:, None]
    return allowed | torch.eye(total, dtype=torch.bool)


def test_three_streams_equal_joint_attention_under_a_block_mask(stml, streams):
    test, references, objects = streams
    valid = torch.tensor([[True, False, True], [True, True, True]])
    expected = masked_joint(stml, test, references, objects, block_mask(valid))
    torch.testing.assert_close(stml.read(test, stml.fill(references, objects, valid)), expected, rtol=1e-5, atol=1e-5)


def test_without_references_the_test_frame_reads_the_objects(stml, streams):
    test, references, objects = streams
    valid = torch.tensor([[True, False, True], [False, True, True]])
    allowed = block_mask(valid)
    allowed[:, :L, L : L + M * L] = False
    allowed[:, :L, -N:] = valid[:, None]
    expected = masked_joint(stml, test, references, objects, allowed)
    torch.testing.assert_close(stml.read(test, stml.fill(None, objects, valid), valid), expected, rtol=1e-5, atol=1e-5)


def test_joint_mode_is_self_attention_of_all_tokens(stml, streams):
    test, references, objects = streams
    real = torch.ones(2, L + M * L + N, dtype=torch.bool)
    real[0, -1] = False
    expected = masked_joint(stml, test, references, objects, real[:, None].expand(-1, L + M * L + N, -1))
    others = torch.cat([references.flatten(1, 2), objects], 1)
    torch.testing.assert_close(stml.joint(test, others, real[:, L:]), expected, rtol=1e-5, atol=1e-5)


def test_references_do_not_influence_each_other_and_their_order_does_not_matter(stml, streams):
    test, references, objects = streams
    together, alone = stml.fill(references, objects), stml.fill(references[:, 1:], objects)
    for (key, value), (alone_key, alone_value) in zip(together, alone, strict=True):
        torch.testing.assert_close(key[:, :, L:], alone_key, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(value[:, :, L:], alone_value, rtol=1e-5, atol=1e-5)
    swapped = stml.fill(references.flip(1), objects)
    torch.testing.assert_close(stml.read(test, swapped), stml.read(test, together), rtol=1e-5, atol=1e-5)


def test_objects_reach_the_test_frame_after_two_blocks(streams):
    test, references, objects = streams
    one, two = stma("stml.depth=1").stml, stma("stml.depth=2").stml
    torch.testing.assert_close(one.read(test, one.fill(references, objects)), one.read(test, one.fill(references, -objects)))
    changed = two.read(test, two.fill(references, objects)) - two.read(test, two.fill(references, -objects))
    assert changed.abs().max() > 1e-2


def test_an_invalid_object_changes_nothing_whatever_its_content(stml, streams):
    test, references, objects = streams
    valid = torch.tensor([[True, False, True], [True, False, True]])
    other = objects.clone()
    other[:, 1] = 1000
    expected = stml.read(test, stml.fill(references, objects, valid))
    torch.testing.assert_close(stml.read(test, stml.fill(references, other, valid)), expected)
    absent = stml.read(test, stml.fill(references, objects[:, [0, 2]]))
    torch.testing.assert_close(absent, expected, rtol=1e-5, atol=1e-5)


def test_a_frame_that_is_its_own_reference_gives_the_plain_result(stml, streams):
    test = streams[0]
    torch.testing.assert_close(stml.read(test, stml.fill(test[:, None], None)), stml.read(test, []), rtol=1e-5, atol=1e-5)


def test_recomputing_blocks_gives_the_same_gradients(streams):
    test, references, objects = streams
    plain, recomputing = stma().stml, stma("stml.checkpoint=true").stml
    for stml in (plain, recomputing):
        stml.read(test, stml.fill(references, objects)).square().sum().backward()
    for one, other in zip(plain.parameters(), recomputing.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_the_memory_side_is_the_same_for_any_test_frame():
    # given two videos that differ in frame 1 only
    method, video = stma(), frames(2)
    other = torch.cat([video[:1], 1 - video[1:]])
    # when each frame 1 fills the cache
    first, second = (stream(method, seen, two_objects(), 2)[1][1] for seen in (video, other))
    # then bit by bit the same
    assert len(first.cache) == 3
    for one, another in zip(first.cache, second.cache, strict=True):
        assert torch.equal(one[0], another[0])
        assert torch.equal(one[1], another[1])
