"""Ablation "W/O Temporal Memory": every object runs alone, as in SimVOS (specification 7).

There is no ID read-out that could tell objects apart, so each object has its own references, raw tokens plus its embedded
mask: the frame where it was registered and the latest written ones. Its final map goes to the decoder directly.
"""

import dataclasses
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from vosbench.layers.tensor_fields import TensorFields
from vosbench.methods.method import Masks, Prediction
from vosbench.methods.registration import in_passes, spread
from vosbench.methods.stma.memory import ObjectMemory, STMAFeatures
from vosbench.methods.stma.parts import Parts
from vosbench.methods.stma.stml import KeyValue

FIRST = -1  # stands for the registration frame among the numbers of writes


@dataclass(kw_only=True)
class PerObjectMemory(ObjectMemory):
    """Reference tokens and largest values per object: of its registration frame, and of the latest writes after it."""

    first: Float[Tensor, "B N L C"] | None = None
    first_value: Float[Tensor, "B N Cv"] | None = None
    latest: list[Tensor] = field(default_factory=list)  # each B N L C
    latest_value: list[Tensor] = field(default_factory=list)  # each B N Cv; empty without object tokens
    latest_ids: list[int] = field(default_factory=list)  # number of the write
    tokens: Float[Tensor, "B N C"] | None = None
    cache: list[KeyValue] = field(default_factory=list)  # per block, P heads M d, until the next write

    def grown(self, objects: int) -> "PerObjectMemory":
        """With a longer object axis."""
        more = objects - self.objects

        def padded(tensor: Tensor) -> Tensor:
            return F.pad(tensor, (0, 0) * (tensor.dim() - 2) + (0, more))

        return dataclasses.replace(
            self,
            **self.grown_fields(objects),
            first=None if self.first is None else padded(self.first),
            first_value=None if self.first_value is None else padded(self.first_value),
            latest=[padded(tensor) for tensor in self.latest],
            latest_value=[padded(tensor) for tensor in self.latest_value],
            tokens=None if self.tokens is None else padded(self.tokens),
        )

    def since(self, numbers: list[int]) -> Bool[Tensor, "P m"] | None:
        """Which of these references each registered object has: written after its registration. None: every one."""
        rows = [[number == FIRST or number > write for number in numbers] for clip in self.born for write in clip if write >= 0]
        return None if all(map(all, rows)) else torch.tensor(rows, device=self.registered.device)


@dataclass
class PerObjectTrace(TensorFields):
    """What `segment` made and `memorize` uses again."""

    final: Float[Tensor, "P L C"]
    cache: list[KeyValue]


def segment(parts: Parts, features: STMAFeatures, memory: PerObjectMemory) -> Prediction:
    """Every registered object associated with its own references, decoded alone; then aggregation over the objects."""
    final, cache = _associated(parts, features, memory)
    logits = parts.decode(features, parts.as_map(final, memory.size), None, memory)
    return Prediction(logits, trace=PerObjectTrace(final, cache))


def after_read(trace: PerObjectTrace | None, memory: PerObjectMemory) -> PerObjectMemory:
    """The memory with the keys and values that the read has filled."""
    return memory if trace is None else dataclasses.replace(memory, cache=trace.cache)


def written(
    parts: Parts,
    features: STMAFeatures,
    trace: PerObjectTrace | None,
    masks: Masks,
    memory: PerObjectMemory,
    *,
    given: Bool[Tensor, "B N"],
    frame: int,
) -> PerObjectMemory:
    """The memory with this frame as the registration frame of new objects and the latest reference of the others."""
    before, old_pairs = memory.registered, memory.pairs
    memory = memory.with_registered(given)
    new = memory.registered & ~before
    clip, channel = memory.pairs
    planes = masks.planes * memory.registered[:, :, None, None]
    assert parts.mask_embed is not None
    embedded = parts.mask_embed(planes[clip, channel][:, None]).flatten(2).transpose(1, 2)
    tokens = spread(features.tokens[clip] + embedded, memory.pairs, before.shape)
    memory = _with_frame(memory, tokens, new)
    if parts.object is not None:
        final = parts.stml.read(features.tokens, [])[:, None].expand(-1, memory.objects, -1, -1) if bool(new.any()) else None
        if trace is not None:
            known = spread(trace.final, old_pairs, before.shape)
            final = known if final is None else torch.where(before[:, :, None, None], known, final)
        assert final is not None
        memory = _with_values(parts, features, final[clip, channel], planes, memory, new=new)
    spatial = parts.options.spatial
    assert spatial is not None
    if not parts.training or parts.ref_sampling == "streaming":
        room = max(1, spatial.refs - 1)
        memory = dataclasses.replace(
            memory,
            latest=memory.latest[-room:],
            latest_value=memory.latest_value[-room:],
            latest_ids=memory.latest_ids[-room:],
        )
    if parts.object is not None:
        memory = dataclasses.replace(memory, tokens=parts.object(_pooled(memory), memory.anchor))
    return dataclasses.replace(memory, writes=memory.writes + 1, last_write=frame, cache=[])


def _associated(parts: Parts, features: STMAFeatures, memory: PerObjectMemory) -> tuple[Tensor, list[KeyValue]]:
    spatial = parts.options.spatial
    assert spatial is not None
    assert memory.first is not None
    slots, numbers = [memory.first, *memory.latest], [FIRST, *memory.latest_ids]
    if parts.training and parts.ref_sampling != "streaming":
        chosen = parts.drawn(len(slots), spatial.refs)
        slots, numbers = [slots[place] for place in chosen], [numbers[place] for place in chosen]
    since, length = memory.since(numbers), features.tokens.shape[1]
    valid = None if since is None else since.repeat_interleave(length, 1)
    passes: list[list[KeyValue]] = []

    def associate(number: Tensor, clip: Tensor, channel: Tensor) -> Tensor:
        test, mask = features.tokens[clip], None if valid is None else valid[number]
        objects = None if memory.tokens is None else memory.tokens[clip, channel][:, None]
        if parts.joint:
            others = [slot[clip, channel] for slot in slots] + ([] if objects is None else [objects])
            if mask is not None and objects is not None:
                mask = F.pad(mask, (0, 1), value=True)
            return parts.stml.joint(test, torch.cat(others, 1), mask)
        if memory.cache:
            filled = [(key[number], value[number]) for key, value in memory.cache]
        else:
            filled = parts.stml.fill(torch.stack([slot[clip, channel] for slot in slots], 1), objects)
        passes.append(filled)
        return parts.stml.read(test, filled, mask)

    final = in_passes(associate, memory.pairs, parts.objects_per_pass)
    if parts.training or not parts.cache_kept:
        return final, []
    return final, memory.cache or [
        (torch.cat([key for key, _ in block]), torch.cat([value for _, value in block])) for block in zip(*passes, strict=True)
    ]


def _with_frame(memory: PerObjectMemory, tokens: Float[Tensor, "B N L C"], new: Bool[Tensor, "B N"]) -> PerObjectMemory:
    if memory.first is None:
        return dataclasses.replace(memory, first=tokens)
    first = torch.where(new[:, :, None, None], tokens, memory.first)
    latest, latest_ids = [*memory.latest, tokens], [*memory.latest_ids, memory.writes]
    return dataclasses.replace(memory, first=first, latest=latest, latest_ids=latest_ids)


def _with_values(
    parts: Parts,
    features: STMAFeatures,
    final: Float[Tensor, "P L C"],
    planes: Float[Tensor, "B N H W"],
    memory: PerObjectMemory,
    *,
    new: Bool[Tensor, "B N"],
) -> PerObjectMemory:
    """Values of this frame, kept as their largest over the frame; anchors of the new objects."""
    assert parts.object is not None
    values = parts.id_values(features, parts.as_map(final, memory.size), planes, memory.pairs, per_object=True)
    largest = spread(values.amax((2, 3)), memory.pairs, new.shape)
    memory = memory.with_anchor(parts.object.anchor(values))
    if memory.first_value is None:
        return dataclasses.replace(memory, first_value=largest)
    first_value = torch.where(new[:, :, None], largest, memory.first_value)
    return dataclasses.replace(memory, first_value=first_value, latest_value=[*memory.latest_value, largest])


def _pooled(memory: PerObjectMemory) -> Float[Tensor, "B N Cv"]:
    """Largest value of each object over its references."""
    assert memory.first_value is not None
    pooled = memory.first_value
    born = torch.tensor(memory.born, device=pooled.device)
    for number, value in zip(memory.latest_ids, memory.latest_value, strict=True):
        later = (born >= 0) & (born < number)
        pooled = torch.where(later[:, :, None], torch.maximum(pooled, value), pooled)
    return pooled
