"""What XMem carries from frame to frame: sensory, working and long-term memory (paper, section 3)."""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vosbench.errors import ConfigError
from vosbench.layers.bank_read import read_bank
from vosbench.layers.matching import affinity, anisotropic_similarity, read_out
from vosbench.layers.memory_bank import MemoryBank, taken
from vosbench.methods.method import Features
from vosbench.methods.registration import RegisteredMemory


@dataclass
class MemoryOptions:
    """What is stored, how it is read, and when working memory becomes long-term memory."""

    every: int  # frames between two that are stored
    top_k: int | None  # elements that a query reads outside training; None: all
    max_frames: int  # T_max: working memory, its prompted frame among them, that is consolidated
    min_frames: int  # T_min: what is left of it
    prototypes: int  # P: elements that a consolidation adds to the long-term memory
    max_long_term: int  # L_max: elements the long-term memory holds
    training_frames: int  # stored frames that a training frame reads, the prompted ones among them
    deep_probability: float  # that a training frame without a prompt renews the sensory memory from its value

    def __post_init__(self) -> None:
        for name, least in {"every": 1, "top_k": 1, "min_frames": 2, "prototypes": 1, "training_frames": 1}.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"method.memory.{name}={value}: must be at least {least}.")
        if self.max_frames <= self.min_frames:
            raise ConfigError(
                f"method.memory.max_frames={self.max_frames}: must be above method.memory.min_frames={self.min_frames}, for what is "
                "between them becomes long-term memory."
            )
        if self.max_long_term < self.prototypes:
            raise ConfigError(
                f"method.memory.max_long_term={self.max_long_term}: must be at least method.memory.prototypes={self.prototypes}."
            )
        if not 0 <= self.deep_probability <= 1:
            raise ConfigError(f"method.memory.deep_probability={self.deep_probability}: must be from 0 to 1.")


@dataclass
class XMemFeatures(Features):
    """Everything about an image that does not depend on a memory."""

    image: Float[Tensor, "B 3 H W"]  # ImageNet mean and deviation taken out
    fine4: Float[Tensor, "B c4 h4 w4"]
    fine8: Float[Tensor, "B c8 h8 w8"]
    deep: Float[Tensor, "B c16 h w"]
    key: Float[Tensor, "B Ck L"]
    shrinkage: Float[Tensor, "B 1 L"]  # where the frame is memory
    selection: Float[Tensor, "B Ck L"]  # where it is the query


@dataclass(kw_only=True)
class XMemMemory(RegisteredMemory):
    """Elements of working and long-term memory know the write they come from, and so which objects may read them."""

    sensory: Float[Tensor, "B N Ch h w"]
    working: dict[str, Tensor] | None = None  # fields of a `MemoryBank` of whole frames; None before the first write
    selection: Float[Tensor, "B Ck M"] | None = None  # of the elements of working memory, for their consolidation
    long_term: dict[str, Tensor] | None = None  # fields of a `MemoryBank` of prototypes

    @property
    def banks(self) -> list[MemoryBank]:
        """Long-term memory if there is one, then working memory."""
        return [MemoryBank(**fields) for fields in (self.long_term, self.working) if fields is not None]

    def bank(self) -> MemoryBank:
        """All that can be read."""
        first, *rest = self.banks
        return first.joined(rest[0]) if rest else first

    def used(self, usage: Float[Tensor, "B M"]) -> "XMemMemory":
        """After one read of `bank()` in which each element received that weight."""
        banks = self.banks
        parts = usage.split([bank.size for bank in banks], 1)
        after = [bank.used(part).fields() for bank, part in zip(banks, parts, strict=True)]
        return dataclasses.replace(self, working=after[-1], long_term=after[0] if len(after) > 1 else None)

    def written(self, newest: MemoryBank, selection: Float[Tensor, "B Ck L"], frame: int) -> "XMemMemory":
        """With one more frame in working memory."""
        if self.working is None or self.selection is None:
            working, selections = newest, selection
        else:
            working, selections = self.banks[-1].joined(newest), torch.cat([self.selection, selection], 2)
        return dataclasses.replace(self, working=working.fields(), selection=selections, writes=self.writes + 1, last_write=frame)

    def grown(self, objects: int) -> "XMemMemory":
        """With a longer object axis."""
        sensory = F.pad(self.sensory, (0, 0) * 3 + (0, objects - self.objects))
        banks = [bank.grown(objects).fields() for bank in self.banks]
        return dataclasses.replace(
            self,
            **self.grown_fields(objects),
            sensory=sensory,
            working=banks[-1] if banks else None,
            long_term=banks[0] if len(banks) > 1 else None,
        )

    def consolidated(self, options: MemoryOptions, length: int) -> "XMemMemory":
        """Where working memory is full, its older frames, of `length` elements each, become prototypes in long-term memory.

        Frames with given masks stay for good and the newest `min_frames` - 1 of the others for now (paper, section 3.3.1).
        Decision: only those others are counted, so that prompts do not crowd out working memory; with one prompted frame it is
        what the public code does. Of full long-term memory the least used elements go.
        """
        working = self.banks[-1]
        assert self.selection is not None
        protected = working.protected[0, ::length].tolist()
        ordinary = [place for place, kept in enumerate(protected) if not kept]
        if len(ordinary) < options.max_frames - 1:
            return self
        going = ordinary[: len(ordinary) - (options.min_frames - 1)]
        staying = [place for place in range(len(protected)) if place not in going]
        batch, device = working.key.shape[0], working.key.device
        elements = torch.arange(working.size, device=device).view(-1, length)
        out, left = (elements[places].flatten().expand(batch, -1) for places in (going, staying))
        newest = prototypes(working.taken(out), taken(self.selection, out), self.born, options.prototypes)
        if self.long_term is not None:
            newest = MemoryBank(**self.long_term).most_used(options.max_long_term - newest.size).joined(newest)
        return dataclasses.replace(
            self, working=working.taken(left).fields(), selection=taken(self.selection, left), long_term=newest.fields()
        )


def prototypes(candidates: MemoryBank, selection: Float[Tensor, "B Ck M"], born: list[list[int]], count: int) -> MemoryBank:
    """The most used candidates with values averaged over all of them: each prototype reads the candidates as a query would.

    Source: XMem, section 3.3.2, prototype selection and memory potentiation.
    """
    place = (candidates.use / candidates.life).topk(min(count, candidates.size), dim=1).indices
    chosen, selected = candidates.taken(place), taken(selection, place)
    # An object registered after all the candidates has no value among them, and does not read the prototypes either.
    latest = int(candidates.write_no.max())
    earlier = [[write if write <= latest else -1 for write in clip] for clip in born]
    value, _ = read_bank(candidates, earlier, chosen.key, selected, None)
    weights = affinity(anisotropic_similarity(candidates.key, chosen.key, candidates.shrinkage, selected))
    shrinkage = read_out(weights, candidates.shrinkage[:, None])[:, 0]
    fresh = MemoryBank.written(chosen.key, shrinkage, value, write_no=0, protected=False)
    return dataclasses.replace(fresh, write_no=chosen.write_no)


def of_some_frames(bank: MemoryBank, count: int, length: int) -> MemoryBank:
    """The prompted frames of a bank and others by chance, `count` in all, as training reads them. Source: the public code, whose
    clips are prompted on the first frame alone.

    From torch's global generator, which the training seeds at every step.
    """
    frames = bank.size // length
    if frames <= count:
        return bank
    protected = bank.protected[0, ::length].cpu()
    others = (~protected).nonzero()[:, 0]
    drawn = others[torch.randperm(len(others))[: max(0, count - int(protected.sum()))]]
    chosen = torch.cat([protected.nonzero()[:, 0], drawn]).to(bank.key.device)
    elements = torch.arange(bank.size, device=bank.key.device).view(-1, length)
    return bank.taken(elements[chosen].flatten().expand(bank.key.shape[0], -1))
