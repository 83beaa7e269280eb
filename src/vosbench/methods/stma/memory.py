"""What STMA carries from frame to frame (specification 5.1), and what it makes of an image."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from vosbench.layers.memory_bank import MemoryBank
from vosbench.methods.method import Features
from vosbench.methods.registration import RegisteredMemory, spread
from vosbench.methods.stma.stml import KeyValue

Own = TypeVar("Own", bound="ObjectMemory")


@dataclass
class STMAFeatures(Features):
    """Everything about an image that does not depend on a memory."""

    image: Float[Tensor, "B 3 H W"]  # ImageNet mean and deviation taken out
    tokens: Float[Tensor, "B L C"]  # raw: with position code, before the association blocks
    fine4: Float[Tensor, "B c4 h4 w4"] | None  # None: made from the final tokens (vit_b)
    fine8: Float[Tensor, "B c8 h8 w8"] | None


@dataclass(kw_only=True)
class ObjectMemory(RegisteredMemory):
    """Which objects are registered, since which write, and what is taken of them then."""

    anchor: Float[Tensor, "B N Cs"]

    def padding(self) -> Bool[Tensor, "B N"] | None:
        """`registered` where it masks anything, else None: attention without a mask is faster."""
        return self.registered if any(write < 0 for clip in self.born for write in clip) else None

    def with_anchor(self: Own, anchor: Float[Tensor, "P Cs"]) -> Own:
        """The anchors (of all registered objects) taken over for those that this write registers."""
        fresh = torch.tensor(self.born, device=anchor.device) == self.writes
        dense = spread(anchor.to(self.anchor.dtype), self.pairs, self.registered.shape)
        return dataclasses.replace(self, anchor=torch.where(fresh[:, :, None], dense, self.anchor))

    def grown_fields(self, objects: int) -> dict[str, Any]:
        """The fields that a longer object axis changes."""
        return {**super().grown_fields(objects), "anchor": F.pad(self.anchor, (0, 0, 0, objects - self.objects))}


@dataclass(kw_only=True)
class STMAMemory(ObjectMemory):
    """Spatial memory (reference frames), temporal memory (keys and values) and what is derived from them."""

    tokens: Float[Tensor, "B N C"] | None = None  # F_o, made at every write; None: no object tokens
    references: list[Tensor] = field(default_factory=list)  # raw tokens of each reference frame, oldest first
    reference_ids: list[int] = field(default_factory=list)  # number of its write
    pinned: list[bool] = field(default_factory=list)  # whether masks were given on it
    cache: list[KeyValue] = field(default_factory=list)  # keys and values of the references in `cache_ids`, per block
    cache_ids: list[int] = field(default_factory=list)
    temporal: dict[str, Tensor] | None = None  # fields of the `MemoryBank`; None before the first write

    @property
    def bank(self) -> MemoryBank:
        """The temporal memory."""
        assert self.temporal is not None
        return MemoryBank(**self.temporal)

    def grown(self, objects: int) -> "STMAMemory":
        """With a longer object axis."""
        more = objects - self.objects
        return dataclasses.replace(
            self,
            **self.grown_fields(objects),
            tokens=None if self.tokens is None else F.pad(self.tokens, (0, 0, 0, more)),
            temporal=None if self.temporal is None else self.bank.grown(objects).fields(),
            # Without references the cache is that of the object tokens, of which there are more now.
            cache=self.cache if self.references else [],
            cache_ids=self.cache_ids if self.references else [],
        )

    def valid(self) -> Bool[Tensor, "B N M"] | None:
        """Which elements belong to which object: those written since its registration; None where all belong to all."""
        if all(write == 0 for clip in self.born for write in clip):
            return None
        born = torch.tensor(self.born, device=self.registered.device)
        return (self.bank.write_no[:, None] >= born[:, :, None]) & self.registered[:, :, None]

    def with_reference(self, tokens: Float[Tensor, "B L C"], *, pinned: bool) -> "STMAMemory":
        """With one more reference frame, the newest."""
        return dataclasses.replace(
            self,
            references=[*self.references, tokens],
            reference_ids=[*self.reference_ids, self.writes],
            pinned=[*self.pinned, pinned],
        )

    def with_references_bounded(self, refs: int, max_pinned: int | None) -> "STMAMemory":
        """All pinned references (or the very first and the newest `max_pinned` - 1 of them) and the newest others that
        `refs` leaves room for beside one pinned, at least one."""
        pinned = [place for place, is_pinned in enumerate(self.pinned) if is_pinned]
        if max_pinned is not None and len(pinned) > max_pinned:
            pinned = [pinned[0], *pinned[len(pinned) - max_pinned + 1 :]]
        others = [place for place, is_pinned in enumerate(self.pinned) if not is_pinned]
        kept = sorted([*pinned, *others[-max(1, refs - 1) :]])
        return dataclasses.replace(
            self,
            references=[self.references[place] for place in kept],
            reference_ids=[self.reference_ids[place] for place in kept],
            pinned=[self.pinned[place] for place in kept],
        )
