"""What CFBI carries from frame to frame (specification 5), and what it makes of an image."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from vosbench.layers.tensor_fields import TensorFields
from vosbench.methods.cfbi_fgstm.fgstm_bank import FGSTMState
from vosbench.methods.cfbi_fgstm.global_matching import Labelled
from vosbench.methods.method import Features, Memory


@dataclass
class CFBIFeatures(Features):
    """Everything about an image that does not depend on a memory."""

    fine: Float[Tensor, "B c4 h4 w4"]  # the backbone's map at stride 4
    embedding: list[Tensor]  # at strides 4, 8, 16, or at 4 alone; B C h w, not negative


@dataclass
class Reference(TensorFields):
    """A frame that carries prompts: the pixels to match and the sums to pool, nothing else of it is needed."""

    vectors: list[list[Tensor]]  # per scale and clip, Q m: leading channels of labelled pixels, ordered by entry
    norms: list[list[Tensor]]  # their squared lengths
    counts: list[list[list[int]]]  # how many of them belong to each entry
    sums: Float[Tensor, "B slots C"]  # embedding at stride 4 summed over the pixels of nobody and of every entry
    numbers: Float[Tensor, "B slots"]  # pixels

    @staticmethod
    def of(scales: list[list[Labelled]], sums: Float[Tensor, "B slots C"], numbers: Float[Tensor, "B slots"]) -> "Reference":
        """From what each scale's matching keeps of every clip."""
        return Reference(
            [[clip.embedding for clip in clips] for clips in scales],
            [[clip.norm for clip in clips] for clips in scales],
            [[clip.counts for clip in clips] for clips in scales],
            sums,
            numbers,
        )

    def labelled(self, scale: int, clip: int) -> Labelled:
        """What matching at one scale compares one clip with."""
        return Labelled(self.vectors[scale][clip], self.norms[scale][clip], self.counts[scale][clip])


@dataclass
class CFBIMemory(Memory):
    """Reference frames, the previous frame, and the space-time memory where there is one."""

    known: list[list[bool]]  # B x N: channels whose prompt was given
    references: list[dict[str, Any]] = field(default_factory=list)  # fields of each `Reference`, oldest first
    embedding: list[Tensor] = field(default_factory=list)  # of the previous frame; empty before the first
    label_maps: list[Tensor] = field(default_factory=list)  # its labels on the grids of the embedding
    sums: Float[Tensor, "B slots C"] | None = None  # its embedding summed as in `Reference`
    numbers: Float[Tensor, "B slots"] | None = None
    frames: dict[str, Any] | None = None  # fields of the `FGSTMState`; None: no space-time memory

    @property
    def state(self) -> FGSTMState:
        """The space-time memory."""
        assert self.frames is not None
        return FGSTMState(**self.frames)

    def pooled_reference(self) -> tuple[Float[Tensor, "B slots C"], Float[Tensor, "B slots"]]:
        """Sums and numbers of pixels over all reference frames."""
        references = [Reference(**fields) for fields in self.references]
        slots = self.objects + 2
        sums = torch.stack([_with_slots(reference.sums, slots) for reference in references]).sum(0)
        return sums, torch.stack([_with_slots(reference.numbers, slots) for reference in references]).sum(0)

    def grown(self, objects: int) -> "CFBIMemory":
        """With a longer object axis; the new objects are not known yet."""
        return dataclasses.replace(
            self,
            objects=objects,
            known=[clip + [False] * (objects - len(clip)) for clip in self.known],
            sums=None if self.sums is None else _with_slots(self.sums, objects + 2),
            numbers=None if self.numbers is None else _with_slots(self.numbers, objects + 2),
            frames=None if self.frames is None else self.state.grown(objects + 1).fields(),
        )

    def known_labels(self, label_map: Int[Tensor, "B H W"]) -> Int[Tensor, "B H W"]:
        """Labels in which objects that were never given are background."""
        if all(all(clip) for clip in self.known):
            return label_map
        table = torch.tensor([[True, *clip] for clip in self.known], device=label_map.device)
        seen = table.gather(1, label_map.flatten(1)).view_as(label_map)
        return torch.where(seen, label_map, 0)


def _with_slots(sums: Tensor, slots: int) -> Tensor:
    """More slots of (B, slots, ...); the new ones are empty."""
    return F.pad(sums, (*([0, 0] * (sums.dim() - 2)), 0, slots - sums.shape[1]))
