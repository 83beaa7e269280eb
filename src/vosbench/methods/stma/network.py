"""STMA, spatial-temporal multi-level association for video object segmentation (2024).

One pass per frame through a plain ViT, in which test tokens read reference frames and these read one token per object
(`stml`), then one read of a temporal memory that turns the single map into one read-out per object (`bank_read`), then
the decoder. Steps are those of specification 5.2; with `memory.temporal` None every object runs alone (`per_object`).
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vosbench.layers.bank_read import read_bank
from vosbench.layers.memory_bank import MemoryBank
from vosbench.layers.tensor_fields import TensorFields
from vosbench.methods.method import Masks, Prediction
from vosbench.methods.registration import entering, spread, unregistered
from vosbench.methods.stma import per_object
from vosbench.methods.stma.memory import ObjectMemory, STMAFeatures, STMAMemory
from vosbench.methods.stma.object_tokens import pooled_value
from vosbench.methods.stma.parts import Parts
from vosbench.methods.stma.stml import KeyValue


@dataclass
class Trace(TensorFields):
    """What `segment` made and `memorize` uses again."""

    final: Float[Tensor, "B L C"]  # F_t
    usage: Float[Tensor, "B M"]  # weight each element of the temporal memory received
    cache: list[KeyValue]
    cache_ids: list[int]


class STMA(Parts):
    """The method: see the module's first lines; the arguments are described in `options`."""

    def start(self, batch: int, objects: int, size: tuple[int, int]) -> ObjectMemory:
        """Nothing registered, nothing written."""
        device = self.mean.device
        anchor = torch.zeros(batch, objects, self.anchor_dim, device=device)
        kind = STMAMemory if self.options.temporal else per_object.PerObjectMemory
        return kind(objects=objects, size=size, anchor=anchor, **unregistered(batch, objects, device))

    def grow(self, memory: Any, objects: int) -> ObjectMemory:
        """More channels: without values, anchor and token until they are registered."""
        return memory.grown(objects)

    def segment(self, features: STMAFeatures, memory: Any) -> Prediction:
        """Associate, read, decode, aggregate. While no object is registered nothing is computed: all is background."""
        tokens = features.tokens.shape[1]
        if tokens * self.stride**2 != memory.size[0] * memory.size[1]:
            raise ValueError(f"a frame of {tokens} tokens does not fit a memory of size {memory.size}: start a new memory for it")
        if memory.writes == 0:
            return Prediction(self.nobody(features, memory))
        if isinstance(memory, per_object.PerObjectMemory):
            return per_object.segment(self, features, memory)
        temporal = self.options.temporal
        assert temporal is not None
        assert self.key is not None
        final, cache, cache_ids = self._associated(features, memory)
        final_map = self.as_map(final, memory.size)
        top_k = None if self.training else temporal.top_k
        read, usage = read_bank(memory.bank, memory.born, *self.key.query(final_map), top_k)
        logits = self.decode(features, final_map, read.unflatten(3, final_map.shape[2:]), memory)
        return Prediction(logits, trace=Trace(final, usage, cache, cache_ids))

    def memorize(self, features: STMAFeatures, prediction: Prediction, masks: Masks, memory: Any, frame: int) -> ObjectMemory:
        """Count the read; write if masks are given, in training, or every `write_every` frames."""
        given = entering(masks)
        has_given = bool(given.any())
        due = memory.writes > 0 and (self.training or frame - memory.last_write >= self.options.write_every)
        trace = prediction.trace
        if isinstance(memory, per_object.PerObjectMemory):
            if not (has_given or due):
                return per_object.after_read(trace, memory)
            return per_object.written(self, features, trace, masks, memory, given=given, frame=frame)
        if trace is not None:
            memory = self._after_read(trace, memory)
        if not (has_given or due):
            return memory
        final = self.stml.read(features.tokens, []) if trace is None else trace.final
        return self._written(features, final, masks, memory, given=given if has_given else None, frame=frame)

    def _associated(self, features: STMAFeatures, memory: STMAMemory) -> tuple[Tensor, list[KeyValue], list[int]]:
        """F_t, and the memory side's keys and values where they can be used again."""
        references, ids = self._references(memory)
        padding = memory.padding()
        if self.joint:
            return self._jointly(features, references, memory.tokens, padding), [], []
        if self.training or not self.cache_kept:
            stacked = torch.stack(references, 1) if references else None
            cache, ids = self.stml.fill(stacked, memory.tokens, padding), []
        else:
            cache = self._filled(features, references, ids, memory)
        # Without references the test frame reads the objects themselves.
        valid = padding if cache and not references else None
        return self.stml.read(features.tokens, cache, valid), cache if self.cache_kept else [], ids

    def _references(self, memory: STMAMemory) -> tuple[list[Tensor], list[int]]:
        spatial = self.options.spatial
        if spatial is None or not self.training or self.ref_sampling == "streaming":
            return memory.references, memory.reference_ids
        chosen = self.drawn(len(memory.references), spatial.refs)
        return [memory.references[place] for place in chosen], [memory.reference_ids[place] for place in chosen]

    def _jointly(
        self,
        features: STMAFeatures,
        references: list[Tensor],
        objects: Float[Tensor, "B N C"] | None,
        padding: Bool[Tensor, "B N"] | None,
    ) -> Float[Tensor, "B L C"]:
        others = [*references, *([] if objects is None else [objects])]
        if not others:
            return self.stml.read(features.tokens, [])
        joined, valid = torch.cat(others, 1), None
        if objects is not None and padding is not None:
            real = padding.new_ones(padding.shape[0], joined.shape[1] - padding.shape[1])
            valid = torch.cat([real, padding], 1)
        return self.stml.joint(features.tokens, joined, valid)

    def _filled(self, features: STMAFeatures, references: list[Tensor], ids: list[int], memory: STMAMemory) -> list[KeyValue]:
        """The cached keys and values, with those of new references added. Exact: between two writes neither the references
        nor the object tokens change, and the test frame never reaches them (specification 5.4)."""
        device = features.tokens.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else features.tokens.dtype
        fits = memory.cache and memory.cache[0][0].dtype == dtype
        known = memory.cache_ids if fits else []
        if fits and known == ids:
            return memory.cache
        missing = [reference for reference, number in zip(references, ids, strict=True) if number not in known]
        fresh = self.stml.fill(torch.stack(missing, 1) if missing else None, memory.tokens, memory.padding())
        kept = [place for place, number in enumerate(known) if number in ids]
        if not kept:
            return fresh
        length = features.tokens.shape[1]
        return [
            (_kept(old_key, kept, length, new_key), _kept(old_value, kept, length, new_value))
            for (old_key, old_value), (new_key, new_value) in zip(memory.cache, fresh, strict=True)
        ]

    def _after_read(self, trace: Trace, memory: STMAMemory) -> STMAMemory:
        temporal = memory.temporal if self.training else memory.bank.used(trace.usage).fields()
        return dataclasses.replace(memory, temporal=temporal, cache=trace.cache, cache_ids=trace.cache_ids)

    def _written(
        self,
        features: STMAFeatures,
        final: Float[Tensor, "B L C"],
        masks: Masks,
        memory: STMAMemory,
        *,
        given: Bool[Tensor, "B N"] | None,
        frame: int,
    ) -> STMAMemory:
        """Register, encode values, append, evict, renew object tokens, push the reference (specification 5.2, step 6)."""
        final_map = self.as_map(final, memory.size)
        if given is not None:
            memory = memory.with_registered(given)
        planes = masks.planes * memory.registered[:, :, None, None]
        values = self.id_values(features, final_map, planes, memory.pairs, per_object=False)
        if given is not None and self.object is not None:
            memory = memory.with_anchor(self.object.anchor(values))
        dense = spread(values, memory.pairs, memory.registered.shape).flatten(3)
        memory = dataclasses.replace(memory, temporal=self._bank(final_map, dense, given is not None, memory).fields())
        if self.object is not None:
            tokens = self.object(pooled_value(memory.bank.value, memory.valid()), memory.anchor)
            memory = dataclasses.replace(memory, tokens=tokens, cache=[], cache_ids=[])
        if self.options.spatial is not None:
            memory = memory.with_reference(features.tokens, pinned=given is not None)
            # A training frame may draw any past frame as its reference.
            if not self.training or self.ref_sampling == "streaming":
                memory = memory.with_references_bounded(self.options.spatial.refs, self.options.spatial.max_pinned)
        return dataclasses.replace(memory, writes=memory.writes + 1, last_write=frame)

    def _bank(
        self, final_map: Float[Tensor, "B C h w"], values: Float[Tensor, "B N Cv L"], protected: bool, memory: STMAMemory
    ) -> MemoryBank:
        """The temporal memory with this frame appended, and within its capacity outside training."""
        temporal = self.options.temporal
        assert temporal is not None
        assert self.key is not None
        newest = MemoryBank.written(
            self.key.key(final_map).flatten(2),
            self.key.memory_shrinkage(final_map),
            values,
            write_no=memory.writes,
            protected=protected,
        )
        bank = newest if memory.temporal is None else memory.bank.joined(newest)
        if self.training or temporal.capacity_frames is None:
            return bank
        return bank.evicted(temporal.capacity_frames * values.shape[3])


def _kept(old: Float[Tensor, "B h M d"], places: list[int], length: int, new: Tensor) -> Float[Tensor, "B h M2 d"]:
    """Those references' parts of a cached tensor, each `length` tokens long, followed by the new ones'."""
    parts = [old[:, :, place * length : (place + 1) * length] for place in places]
    return torch.cat([*parts, new], 2)
