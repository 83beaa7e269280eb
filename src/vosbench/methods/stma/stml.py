"""STML, spatial-temporal multi-level association (paper, Eqs. 2 to 4; specification 3.5 and 5.4).

Three streams share the weights of one plain ViT. In every block object tokens attend to each other, each reference frame to
itself and the objects, the test frame to itself and the references; nothing flows back. So the memory side does not depend on
the test frame: `fill` computes its keys and values once, `read` runs any number of test frames against them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

KeyValue = tuple[Tensor, Tensor]  # of one block, each B heads M d: what the test frame attends to beside itself


class STML(nn.Module):
    """`depth` transformer blocks through which objects inform references and references inform the test frame."""

    def __init__(self, *, dim: int, depth: int, heads: int, mlp_ratio: float, recompute: bool) -> None:
        super().__init__()
        norm: Any = partial(nn.LayerNorm, eps=1e-6)  # set here: timm's default differs between its versions
        self.blocks = nn.ModuleList(Block(dim, heads, mlp_ratio, qkv_bias=True, norm_layer=norm) for _ in range(depth))
        self.norm = norm(dim)
        self.recompute = recompute
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def fill(
        self,
        references: Float[Tensor, "B m L C"] | None,
        objects: Float[Tensor, "B N C"] | None,
        valid: Bool[Tensor, "B N"] | None = None,
    ) -> list[KeyValue]:
        """Keys and values of the memory side at every block: of the references where there are any, else of the objects.

        `valid` says which object tokens count; None: all do. All references run as one batch, for they never meet.
        """
        if references is None:
            return [] if objects is None else self._fill_objects(objects, valid)
        batch, count = references.shape[:2]
        stream, filled = references.flatten(0, 1), []
        for block in self.blocks[:-1]:
            stream, objects, key, value = self._run(_memory_block, block, stream, objects, valid, count)
            filled.append((_side_by_side(key, batch), _side_by_side(value, batch)))
        # In the last block nothing but the references' keys and values is ever read.
        key, value = self._run(_key_value, self.blocks[-1], stream)
        return [*filled, (_side_by_side(key, batch), _side_by_side(value, batch))]

    def _fill_objects(self, objects: Float[Tensor, "B N C"], valid: Bool[Tensor, "B N"] | None) -> list[KeyValue]:
        filled = []
        for block in self.blocks[:-1]:
            objects, key, value = self._run(_object_block, block, objects, valid)
            filled.append((key, value))
        return [*filled, self._run(_key_value, self.blocks[-1], objects)]

    def read(
        self, test: Float[Tensor, "B L C"], memory: list[KeyValue], valid: Bool[Tensor, "B M"] | None = None
    ) -> Float[Tensor, "B L C"]:
        """The test frame's final tokens F_t, normalised. An empty `memory` makes it a plain ViT; `valid` says which of the
        memory's tokens count, None: all do."""
        mask = None if valid is None else F.pad(valid, (test.shape[1], 0), value=True)[:, None, None]
        for number, block in enumerate(self.blocks):
            key, value = memory[number] if memory else (None, None)
            test = self._run(_test_block, block, test, key, value, mask)
        return self.norm(test)

    def joint(
        self, test: Float[Tensor, "B L C"], others: Float[Tensor, "B M C"], valid: Bool[Tensor, "B M"] | None = None
    ) -> Float[Tensor, "B L C"]:
        """Ablation "Joint Self-Attn": plain self-attention over test, reference and object tokens together in every block."""
        tokens = torch.cat([test, others], 1)
        mask = None if valid is None else F.pad(valid, (test.shape[1], 0), value=True)[:, None, None]
        for block in self.blocks[:-1]:
            tokens = self._run(_test_block, block, tokens, None, None, mask)
        length = test.shape[1]  # the last block is needed for the test frame alone
        key, value = self._run(_key_value, self.blocks[-1], tokens[:, length:])
        return self.norm(self._run(_test_block, self.blocks[-1], tokens[:, :length], key, value, mask))

    def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(function, *arguments, use_reentrant=False)
        return function(*arguments)


def _heads(block: Block, tokens: Tensor, parts: int) -> tuple[Tensor, ...]:
    """The last `parts` of query, key and value of a stream, heads split: each B heads L d."""
    attention: Any = block.attn
    skipped = (3 - parts) * tokens.shape[2]
    mixed = F.linear(block.norm1(tokens), attention.qkv.weight[skipped:], attention.qkv.bias[skipped:])
    batch, length, _ = tokens.shape
    return mixed.view(batch, length, parts, attention.num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)


def _key_value(block: Block, tokens: Tensor) -> KeyValue:
    key, value = _heads(block, tokens, 2)
    return key, value


def _attend(block: Block, tokens: Tensor, query: Tensor, key_value: KeyValue, mask: Tensor | None) -> Tensor:
    """One stream's update: ``s + W_O A``, then ``s + MLP(LN2(s))``."""
    attention: Any = block.attn
    read = F.scaled_dot_product_attention(query, *key_value, attn_mask=mask, scale=attention.scale)
    tokens = tokens + attention.proj(read.transpose(1, 2).flatten(2))
    return tokens + block.mlp(block.norm2(tokens))


def _test_block(block: Block, test: Tensor, key: Tensor | None, value: Tensor | None, mask: Tensor | None) -> Tensor:
    """Eq. 4: the test frame reads itself and the memory side."""
    query, own_key, own_value = _heads(block, test, 3)
    if key is not None and value is not None:
        own_key, own_value = torch.cat([own_key, key], 2), torch.cat([own_value, value], 2)
    return _attend(block, test, query, (own_key, own_value), mask)


def _object_block(block: Block, objects: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Eq. 2: object tokens read each other. A slot without object reads itself too: a softmax over nothing is no number."""
    query, key, value = _heads(block, objects, 3)
    mask = None
    if valid is not None:
        mask = (valid[:, None] | torch.eye(valid.shape[1], dtype=torch.bool, device=valid.device))[:, None]
    return _attend(block, objects, query, (key, value), mask), key, value


def _memory_block(
    block: Block, references: Tensor, objects: Tensor | None, valid: Tensor | None, count: int
) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
    """Eqs. 2 and 3, both from the block's inputs. `references` are folded, B m L C -> Bm L C, `count` = m of a clip."""
    query, key, value = _heads(block, references, 3)
    all_key, all_value, mask = key, value, None
    if objects is not None:
        updated, object_key, object_value = _object_block(block, objects, valid)
        all_key = torch.cat([key, object_key.repeat_interleave(count, 0)], 2)
        all_value = torch.cat([value, object_value.repeat_interleave(count, 0)], 2)
        if valid is not None:
            mask = F.pad(valid, (key.shape[2], 0), value=True)[:, None, None].repeat_interleave(count, 0)
        objects = updated
    return _attend(block, references, query, (all_key, all_value), mask), objects, key, value


def _side_by_side(heads: Float[Tensor, "Bm h L d"], batch: int) -> Float[Tensor, "B h M d"]:
    """The references of a clip one after the other along the tokens."""
    return heads.unflatten(0, (batch, -1)).transpose(1, 2).flatten(2, 3)
