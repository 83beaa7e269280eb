"""CFBI, CFBI+ and CAMN: collaborative foreground-background matching, with a foreground-background space-time memory.

CFBI+ embeds every frame at three strides, matches each pixel against the reference and the previous frame, entry by entry,
the background being an entry like the objects, and lets pooled vectors of each entry gate the ensembler that turns maps and
embeddings into logits. CAMN adds a bottom-up path and object context to the embedding, feature pyramid attention to the head
and FG-STM. Steps are those of specification 5.
"""

import dataclasses
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from vosbench.layers.sizing import FullSizing, Sizing
from vosbench.methods.cfbi_fgstm.ensembler import NEVER, joined_logits
from vosbench.methods.cfbi_fgstm.entries import Entries
from vosbench.methods.cfbi_fgstm.memory import CFBIFeatures, CFBIMemory, Reference
from vosbench.methods.cfbi_fgstm.parts import Parts
from vosbench.methods.cfbi_fgstm.pooling import label_sums, mean_inside_and_outside
from vosbench.methods.cfbi_fgstm.resizing import resized
from vosbench.methods.cfbi_fgstm.soft_masks import soft_masks
from vosbench.methods.cfbi_fgstm.stacked import ClipMap, FramePair
from vosbench.methods.method import Masks, Prediction, Prompted

LONG_EDGE = 1040  # pixels; the public code never works at a longer edge, and never enlarges

# Bytes of a map up to which a processor's allocator hands the same memory out again; beyond it every map is fresh pages from the
# system, which take longer than what is computed in them.
REUSED = 2**24


class CFBI(Parts):
    """The method: see the module's first lines; the arguments are described in `options`."""

    def sizing(self, height: int, width: int, long_edge: int | None, short_edge: int | None) -> Sizing:
        """Sides of 16 k + 1; masks keep the frame's size (specification 8.1)."""
        if long_edge is None and short_edge is None:
            long_edge = LONG_EDGE
        return FullSizing.of(height, width, self.stride, 1, long_edge, short_edge)

    def start(self, batch: int, objects: int, size: tuple[int, int]) -> CFBIMemory:
        """Nothing given, nothing seen."""
        frames = None if self.fgstm is None else self.fgstm.start(batch, objects + 1).fields()
        return CFBIMemory(objects=objects, size=size, known=[[False] * objects for _ in range(batch)], frames=frames)

    def grow(self, memory: CFBIMemory, objects: int) -> CFBIMemory:
        """More channels: not known until they are given."""
        return memory.grown(objects)

    def segment(self, features: CFBIFeatures, memory: CFBIMemory) -> Prediction:
        """Match, gate, decode. While no object is known nothing is computed: all is background."""
        batch, count = features.fine.shape[0], memory.objects + 1
        entries = Entries.of(memory.known)
        if not len(entries):
            size = features.fine.shape[2:]
            nobody = features.fine.new_full((batch, memory.objects, *size), NEVER, dtype=torch.float32)
            return Prediction(torch.cat([nobody.new_zeros(batch, 1, *size), nobody], 1))
        assert memory.sums is not None
        assert memory.numbers is not None
        bias = self.bias(count)
        maps = [self._maps(scale, features, memory, bias[scale], entries) for scale in range(len(features.embedding))]
        halves = [memory.pooled_reference(), (memory.sums, memory.numbers)]
        vector = entries.take(torch.cat([mean_inside_and_outside(*half) for half in halves], 2))
        frames = zip(features.embedding, memory.embedding, memory.label_maps, strict=True)
        pairs = [FramePair(current, previous, label_map, count) for current, previous, label_map in frames]
        low_level = ClipMap(features.fine)
        read = None
        if self.fgstm is not None:
            read = self.fgstm.read(features.embedding[-1], memory.state, entries)
        scores = []
        for start, stop in entries.passes(self._pass_length(features)):
            some = entries.part(start, stop)
            inputs = [self.stacked(own[start:stop], pair.of(some)) for own, pair in zip(maps, pairs, strict=True)]
            addition = None if read is None else read[start:stop]
            scores.append(self.ensembler(inputs, low_level, some, vector[start:stop], addition))
        own, background = (torch.cat(parts) for parts in zip(*scores, strict=True))
        return Prediction(joined_logits(own, background, entries, batch, count))

    def memorize(
        self, features: CFBIFeatures, prediction: Prediction, masks: Masks, memory: CFBIMemory, frame: int
    ) -> CFBIMemory:
        """Every frame is the previous one of the next; one that carries prompts becomes a reference, too."""
        given, count = masks.given.tolist(), memory.objects + 1
        memory = dataclasses.replace(
            memory,
            known=[[a or b for a, b in zip(*rows, strict=True)] for rows in zip(memory.known, given, strict=True)],
        )
        label_maps = [self._labels(masks, memory, (x.shape[2], x.shape[3])) for x in features.embedding]
        sums, numbers = label_sums(features.embedding[0], label_maps[0], count)
        references, frames = memory.references, memory.frames
        prompted = [any(clip) for clip in given]
        if any(prompted):
            references = [*references, self._reference(features, label_maps, prompted, count).fields()]
        if self.fgstm is not None:
            frames = self._written(features, masks, memory, frame, any(prompted))
        return dataclasses.replace(
            memory,
            references=references,
            embedding=features.embedding,
            label_maps=label_maps,
            sums=sums,
            numbers=numbers,
            frames=frames,
        )

    def at_size(self, prediction: Prediction, size: tuple[int, int]) -> Float[Tensor, "B K H W"]:
        """Bilinear, corners on corners."""
        return resized(prediction.logits, size)

    def merge(self, prob: Float[Tensor, "B K H W"], prompted: Prompted) -> Float[Tensor, "B K H W"]:
        """Given pixels overwrite, the others keep the prediction, also of an object that is given anew (specification 5)."""
        planes = prompted.planes * prompted.given[:, :, None, None]
        inside = (planes > 0).any(1, keepdim=True)
        hard = F.one_hot(planes.argmax(1) + 1, prob.shape[1]).permute(0, 3, 1, 2) if planes.shape[1] else prob
        return torch.where(inside, hard.to(prob.dtype), prob)

    def forward(self, *arguments: Any, **options: Any) -> Any:
        """Unroll over a clip."""
        if self.training:
            self.backbone.check_trained()
        return super().forward(*arguments, **options)

    def _maps(
        self, scale: int, features: CFBIFeatures, memory: CFBIMemory, bias: Float[Tensor, "K"], entries: Entries
    ) -> Float[Tensor, "P maps h w"]:
        query = features.embedding[scale]
        known = [Reference(**fields) for fields in memory.references]
        references = [[reference.labelled(scale, clip) for reference in known] for clip in range(query.shape[0])]
        previous, labels = memory.embedding[scale], memory.label_maps[scale]
        return self.matching[scale].maps(query, references, previous, labels, bias, entries)

    def _pass_length(self, features: CFBIFeatures) -> int | None:
        """Entries that the ensembler runs at once; None: all."""
        fine = features.fine
        if self.entries_per_pass is not None or fine.device.type != "cpu" or torch.is_grad_enabled():
            return self.entries_per_pass
        return max(1, REUSED // (4 * self.width * fine.shape[2] * fine.shape[3]))

    def _labels(self, masks: Masks, memory: CFBIMemory, size: tuple[int, int]) -> Int[Tensor, "B h w"]:
        """The final label map on a grid, in one step from its own size; only what is sampled is compared."""
        return memory.known_labels(F.interpolate(masks.prob, size=size, mode="nearest").argmax(1))

    def _reference(self, features: CFBIFeatures, label_maps: list[Tensor], prompted: list[bool], count: int) -> Reference:
        """The frame as a reference of the clips that give a prompt on it, with all the entries they know."""
        chosen = torch.tensor(prompted, device=label_maps[0].device)
        scales, pooled = [], None
        for matching, x, label_map in zip(self.matching, features.embedding, label_maps, strict=True):
            kept, labels = matching.reference(x, torch.where(chosen[:, None, None], label_map, 255), count)
            scales.append(kept)
            pooled = labels if pooled is None else pooled
        assert pooled is not None
        sums, numbers = label_sums(features.embedding[0], pooled, count)
        return Reference.of(scales, sums * chosen[:, None, None], numbers * chosen[:, None])

    def _written(self, features: CFBIFeatures, masks: Masks, memory: CFBIMemory, frame: int, reference: bool) -> dict[str, Any]:
        """The space-time memory with this frame; an object is known to it from the frame on which it is given."""
        assert self.fgstm is not None
        known = torch.tensor([[any(clip), *clip] for clip in memory.known])
        soft = soft_masks(self._labels(masks, memory, memory.size), memory.objects + 1, memory.size)
        state = self.fgstm.write(memory.state, features.embedding[-1], soft, frame=frame, known=known, reference=reference)
        return state.fields()
