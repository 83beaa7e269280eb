"""QMRA, query-memory re-aggregation for video object segmentation from boxes (AAAI 2021).

A frame is matched twice. Stage 1 matches the image with the memory (frames with box maps) and decodes a box map. Stage 2
encodes image and box map as the memory is encoded, matches again and decodes a mask, which a refinement decodes once more.
What stage 2 encoded is the frame's memory. Masks never feed back, boxes do; the mask of a prompted frame is a prediction.
"""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vosbench.layers.aggregation import soft_aggregate
from vosbench.layers.sizing import PaddedSizing, Sizing
from vosbench.methods.method import Masks, Prediction, Prompted
from vosbench.methods.qmra.box_map import boxes_of_maps, clipped, rasterised, tight_boxes
from vosbench.methods.qmra.decoder import odds, target
from vosbench.methods.qmra.folded import Folded, rows
from vosbench.methods.qmra.memory import Entry, Given, QMRAFeatures, QMRAMemory
from vosbench.methods.qmra.memory_read import KeyValue
from vosbench.methods.qmra.parts import Encoded, Parts

SHORT_EDGE = 480  # pixels; Decision (STM's practice): frames with a longer short edge are made smaller, none is made larger
NOWHERE = -1e4  # logit of a pixel that an object may not have; aggregation clamps it


@dataclass
class Trace:
    """What `segment` made of the active objects and `memorize` uses again."""

    objects: Folded
    seen: list[bool]  # whether there is a box
    maps: Float[Tensor, "P 1 H W"]  # the box maps to be remembered
    written: list[KeyValue | None]  # keys and values; None: still to be encoded, with the map


class QMRA(Parts):
    """The method: see the module's first lines; the arguments are described in `options`."""

    prompt_kinds = frozenset({"box"})

    def sizing(self, height: int, width: int, long_edge: int | None, short_edge: int | None) -> Sizing:
        """Padded; without a wish, the short edge is brought down to 480 pixels."""
        if short_edge is None and min(height, width) > SHORT_EDGE:
            short_edge = SHORT_EDGE
        return PaddedSizing.of(height, width, self.stride, long_edge, short_edge)

    def start(self, batch: int, objects: int, size: tuple[int, int]) -> QMRAMemory:
        """No object has been prompted."""
        return QMRAMemory(objects, size, [[[] for _ in range(objects)] for _ in range(batch)])

    def grow(self, memory: QMRAMemory, objects: int) -> QMRAMemory:
        """More channels, without a track until they are prompted."""
        return memory.grown(objects)

    def with_prompts(self, memory: QMRAMemory, prompted: Prompted) -> QMRAMemory:
        """The memory that knows the boxes of the coming frame, whose masks follow from them; a plane without a box of its own
        gives its tight one.

        In training a prompted frame is annotated in full: a known object without a pixel there is remembered as absent.
        """
        boxes = tight_boxes(prompted.planes.flatten(0, 1))
        if prompted.boxes is not None:
            named = prompted.boxes.flatten(0, 1)
            boxes = torch.where(named.isnan(), boxes, named)
        window = prompted.window or memory.window
        boxes = clipped(boxes, window or (0, 0, memory.size[1], memory.size[0]))
        given = (prompted.given & ~boxes.isnan().any(1).view_as(prompted.given)).tolist()
        known = memory.active().pairs if self.training else []
        pairs = [(b, n) for b, row in enumerate(given) for n, is_given in enumerate(row) if is_given or (b, n) in known]
        boxes = rows(boxes, [clip * memory.objects + channel for clip, channel in pairs])
        seen = [given[clip][channel] for clip, channel in pairs]
        return dataclasses.replace(memory, given=Given(pairs=pairs, boxes=boxes, seen=seen), window=window)

    def merge(self, prob: Float[Tensor, "B K H W"], prompted: Prompted) -> Float[Tensor, "B K H W"]:
        """A box is no mask: the prediction stands."""
        return prob

    def segment(self, features: QMRAFeatures, memory: QMRAMemory) -> Prediction:
        """Box maps and masks of every active object, then aggregation of the masks; prompted objects skip stage 1."""
        objects = memory.active()
        if not objects.pairs:
            return Prediction(self._nobody(features, memory))
        if self.training and not objects.sought:  # no loss looks at a prompted frame
            assert memory.given is not None
            trace = Trace(objects, memory.given["seen"], self._prompt_maps(features, memory), [None] * len(objects))
            return Prediction(self._nobody(features, memory), trace=trace)
        if self.form.stages == 1:
            return self._in_one_stage(features, memory, objects)
        return self._in_two_stages(features, memory, objects)

    def memorize(
        self, features: QMRAFeatures, prediction: Prediction, masks: Masks, memory: QMRAMemory, frame: int
    ) -> QMRAMemory:
        """One more frame in every active object's track. Final masks are not looked at: what is remembered are boxes."""
        trace = prediction.trace
        if trace is None:
            return dataclasses.replace(memory, given=None)
        if masks.is_truth:
            boxes = tight_boxes(rows(masks.planes.flatten(0, 1), trace.objects.flat(memory.objects)))
            seen = (~boxes.isnan().any(1)).tolist()
            trace = Trace(trace.objects, seen, rasterised(boxes, memory.size), [None] * len(seen))
        entries = [
            Entry(frame=frame, given=given, seen=seen, key=key, value=value)
            for given, seen, (key, value) in zip(trace.objects.given, trace.seen, self._completed(features, trace), strict=True)
        ]
        return memory.with_entries(trace.objects.pairs, entries, self.options)

    def _in_two_stages(self, features: QMRAFeatures, memory: QMRAMemory, objects: Folded) -> Prediction:
        prompts, tracks = self._prompt_maps(features, memory), memory.remembered(objects)
        prior, aux = prompts[:0], {}
        first: list[Tensor] = []
        if objects.sought:
            clips = [objects.clips[place] for place in objects.sought]
            logits, first = self.first_stage(features, clips, [tracks[place] for place in objects.sought])
            prior, aux = self._in_frame(target(logits), memory), {"box" if self.form.prior == "box" else "prior": logits}
        boxes, seen, maps = None, [True] * len(objects), objects.joined(prompts, prior)
        if self.form.prior == "box" and not (self.training and self.box.train_feed == "soft"):
            boxes, seen = self._located(prior, memory, objects)
            maps = self._fed(prompts, prior, rasterised(boxes, memory.size, memory.window), objects)
        features_1 = objects.in_order([None] * len(prompts), first)
        written: list[KeyValue | None] = []
        logits_s, logits_r = [], []
        for part in self.passes(len(objects)):
            image = rows(features.image, objects.clips[part])
            query = self.with_maps(image, maps[part], as_query=True)
            own = self._own(query, image, maps[part], objects.given[part])
            memories = _with_own(tracks[part], own, objects.given[part])
            mask, refined = self.second_stage(query, maps[part], features_1[part], memories)
            logits_s.append(mask)
            logits_r.append(mask if refined is None else refined)
            written += own
        final, aux = torch.cat(logits_r), aux | {"mask": torch.cat(logits_s)}
        if self.crm is not None:
            aux["refined"] = final
        if self.form.prior == "mask":
            boxes, seen = self._located(rows(target(final), objects.sought), memory, objects)
            maps = rasterised(boxes, memory.size, memory.window)
        return self._prediction(memory, Trace(objects, seen, maps, written), final, boxes, aux)

    def _in_one_stage(self, features: QMRAFeatures, memory: QMRAMemory, objects: Folded) -> Prediction:
        """Ablation "1stage": the first match gives the mask, whose box is remembered."""
        prompts = self._prompt_maps(features, memory)
        places = [place for place, is_given in enumerate(objects.given) if is_given]
        own = self._encoded(features, [objects.clips[place] for place in places], prompts)
        written = objects.in_order(own, [None] * len(objects.sought))
        memories = _with_own(memory.remembered(objects), written, objects.given)
        final, _ = self.first_stage(features, objects.clips, memories)
        boxes, seen = self._located(rows(target(final), objects.sought), memory, objects)
        maps = rasterised(boxes, memory.size, memory.window)
        return self._prediction(memory, Trace(objects, seen, maps, written), final, boxes, {"mask": final})

    def _prediction(
        self,
        memory: QMRAMemory,
        trace: Trace,
        final: Float[Tensor, "P 2 H W"],
        boxes: Float[Tensor, "P 4"] | None,
        aux: dict[str, Tensor],
    ) -> Prediction:
        """Masks made exclusive, boxes not. In training `aux` has each output's logits, object by object, else the boxes."""
        objects, shape = trace.objects, (len(memory.tracks), memory.objects)
        logit = odds(final)
        active = objects.spread(torch.ones(len(objects), device=final.device), shape, 0.0) > 0
        if self.training:
            aux = aux | {"pairs": torch.tensor(objects.pairs, device=final.device).T}
        else:
            assert boxes is not None
            aux = {"boxes": objects.spread(boxes, shape, torch.nan)}
            if self.box.clip_masks:
                logit = logit.masked_fill(rasterised(boxes, memory.size, memory.window)[:, 0] == 0, NOWHERE)
        return Prediction(soft_aggregate(objects.spread(logit, shape, 0.0), active), aux, trace)

    def _located(
        self, prob: Float[Tensor, "S 1 H W"], memory: QMRAMemory, objects: Folded
    ) -> tuple[Float[Tensor, "P 4"], list[bool]]:
        """Every object's box, that of its prompt or that of its map, and whether there is one."""
        boxes, seen = boxes_of_maps(prob, self.box.threshold, self.box.component, memory.window)
        if memory.given is None:
            return boxes, seen
        return objects.joined(memory.given["boxes"], boxes), objects.in_order(memory.given["seen"], seen)

    def _fed(
        self,
        prompts: Float[Tensor, "G 1 H W"],
        prior: Float[Tensor, "S 1 H W"],
        rects: Float[Tensor, "P 1 H W"],
        objects: Folded,
    ) -> Float[Tensor, "P 1 H W"]:
        """The box maps that stage 2 is fed."""
        if self.training:
            return rects + prior - prior.detach()
        if self.box.feed == "rect":
            return rects
        return objects.joined(prompts, prior if self.box.feed == "soft" else (prior >= self.box.threshold).float())

    def _own(
        self, query: Encoded, image: Float[Tensor, "M 3 H W"], maps: Float[Tensor, "M 1 H W"], given: list[bool]
    ) -> list[KeyValue | None]:
        """Keys and values of this very frame as far as stage 2 has or needs them: all, or those of the given objects."""
        if self.form.remembers_query:
            return list(query.remembered())
        places = [place for place, is_given in enumerate(given) if is_given]
        if not places:
            return [None] * len(given)
        known = query if self.form.siamese else self.with_maps(image, maps)
        return [pair if is_given else None for pair, is_given in zip(known.remembered(), given, strict=True)]

    def _completed(self, features: QMRAFeatures, trace: Trace) -> list[KeyValue]:
        """Keys and values of all objects; what `segment` had no need of is encoded now."""
        missing = [place for place, pair in enumerate(trace.written) if pair is None]
        fresh = iter(self._encoded(features, [trace.objects.clips[place] for place in missing], rows(trace.maps, missing)))
        return [next(fresh) if pair is None else pair for pair in trace.written]

    def _encoded(self, features: QMRAFeatures, clips: list[int], maps: Float[Tensor, "M 1 H W"]) -> list[KeyValue]:
        found: list[KeyValue] = []
        for part in self.passes(len(clips)):
            found += self.with_maps(rows(features.image, clips[part]), maps[part]).remembered()
        return found

    def _prompt_maps(self, features: QMRAFeatures, memory: QMRAMemory) -> Float[Tensor, "G 1 H W"]:
        if memory.given is None:
            return features.image.new_zeros(0, 1, *memory.size)
        return rasterised(memory.given["boxes"], memory.size, memory.window)

    def _in_frame(self, maps: Float[Tensor, "S 1 H W"], memory: QMRAMemory) -> Float[Tensor, "S 1 H W"]:
        """Zero in padded pixels."""
        if memory.window is None:
            return maps
        x0, y0, x1, y1 = memory.window
        margins = (x0, memory.size[1] - x1, y0, memory.size[0] - y1)
        return maps if not any(margins) else F.pad(maps[:, :, y0:y1, x0:x1], margins)

    def _nobody(self, features: QMRAFeatures, memory: QMRAMemory) -> Float[Tensor, "B K h w"]:
        """Logits of background alone."""
        size = (memory.size[0] // self.stride, memory.size[1] // self.stride)
        empty = features.image.new_zeros(len(memory.tracks), memory.objects, *size)
        return soft_aggregate(empty, empty.new_zeros(empty.shape[:2], dtype=torch.bool))


def _with_own(tracks: list[list[KeyValue]], own: list[KeyValue | None], given: list[bool]) -> list[list[KeyValue]]:
    """What is read in a frame: the tracks, and where a box was given in it, the frame itself (specification 5)."""
    return [
        [*track, pair] if is_given and pair is not None else track
        for track, pair, is_given in zip(tracks, own, given, strict=True)
    ]
