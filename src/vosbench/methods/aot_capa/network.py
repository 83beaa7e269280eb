"""AOT, associating objects with transformers (NeurIPS 2021), with DeAOT's blocks or AOTv2's, and with CAPA beside it.

All objects of a frame are embedded at once: each is given one of M learnt identities, and one map, the sum of what the
identities say of every patch, travels from memory to the current frame by attention. Its cost does not depend on the number
of objects up to M; more make further groups (`memory`), which share all that is made of the image alone.
"""

import copy
import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.layers.sizing import FullSizing, Sizing
from vosbench.methods.aot_capa.capa import CAPA
from vosbench.methods.aot_capa.decoder import Decoder
from vosbench.methods.aot_capa.encoder import Encoder
from vosbench.methods.aot_capa.gated import GatedPropagation
from vosbench.methods.aot_capa.groups import merged
from vosbench.methods.aot_capa.identity_bank import IdentityBank
from vosbench.methods.aot_capa.lstt import LSTT
from vosbench.methods.aot_capa.memory import AOTFeatures, AOTMemory, Trace, masked
from vosbench.methods.aot_capa.options import DecoderOptions, MemoryOptions
from vosbench.methods.method import Masks, Method, Prediction

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, RGB in [0, 1]


class AOT(Method):
    """Encoder, identity bank, blocks and decoder. Steps are those of specification 5.

    Decision: a frame that carries a prompt in one clip of a batch is a reference frame for all of them; a video is always a
    batch of its own.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        *,
        encoder: Encoder,
        lstt: LSTT | GatedPropagation,
        identities: int,
        align_corners: bool,
        decoder: DecoderOptions,
        memory: MemoryOptions,
        long_edge: int,
        capa: CAPA | None,
    ) -> None:
        """`identities`: M. `align_corners`: whether maps share their corners, so that inputs measure 16 k + 1 pixels and not
        16 k. `long_edge`: longer frames are made smaller, in pixels. `capa`: what the decoder sees beside the map at stride 4."""
        super().__init__()
        if identities < 1:
            raise ValueError(f"method.identities={identities}: expected 1 or more")
        self.align_corners, self.options, self.long_edge = align_corners, memory, long_edge
        c4, c8, c16, deepest = encoder.channels
        self.encoder, self.lstt, self.capa = encoder, lstt, capa
        self.projector = nn.Conv2d(deepest, lstt.width, 1)
        nn.init.xavier_uniform_(self.projector.weight)
        self.identity_bank = IdentityBank(identities, lstt.width, align_corners=align_corners, norm=not lstt.reads_features)
        self.decoder = Decoder(
            lstt.decoder_outputs + lstt.width * lstt.reads_features,
            (c4 + (capa.width if capa is not None else 0), c8, c16),
            decoder.hidden,
            decoder.groups,
            identities + 1,
            align_corners=align_corners,
        )
        if capa is not None:
            # Decision: CAPA has no say at first, so that a trained AOT goes on from where it is.
            nn.init.zeros_(self.decoder.adapter_4x.weight[:, c4:])
            if capa.freeze:
                capa.requires_grad_(False).eval()
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)

    def train(self, mode: bool = True) -> "AOT":
        """A frozen CAPA stays in eval mode: its statistics must not move."""
        super().train(mode)
        if self.capa is not None and self.capa.freeze:
            self.capa.eval()
        return self

    def sizing(self, height: int, width: int, long_edge: int | None, short_edge: int | None) -> Sizing:
        """No padding: sides of 16 k + 1 or 16 k pixels; masks live at the frame's own size."""
        edge = self.long_edge if long_edge is None else long_edge
        return FullSizing.of(height, width, self.stride, odd=int(self.align_corners), long_edge=edge, short_edge=short_edge)

    def encode(self, frames: Float[Tensor, "B 3 H W"]) -> AOTFeatures:
        """Normalise, encode, project; and what the decoder will add of the image."""
        # `clone`, not `contiguous`: of a single image it may be left open which axis lies last, and convolutions then take the
        # slower order.
        image = ((frames - self.mean) / self.deviation).clone(memory_format=torch.channels_last)
        f4, f8, f16, deepest = self.encoder(image)
        if self.capa is not None:
            # g of specification 3.11, of the same image
            f4 = torch.cat([f4, self._resized(self.capa.features(image), (f4.shape[2], f4.shape[3]))], 1)
        tokens = self.projector(deepest).flatten(2).transpose(1, 2)
        return AOTFeatures(tokens, *self.decoder.skips(f4, f8, f16))

    def start(self, batch: int, objects: int, size: tuple[int, int]) -> AOTMemory:
        """Nothing registered, nothing remembered."""
        empty = AOTMemory(
            objects=0,
            size=size,
            registered=torch.zeros(batch, 0, dtype=torch.bool, device=self.device),
            order=self._orders(batch, 0),
            long=[],
            short=[],
            pinned=[],
        )
        return self.grow(empty, objects)

    def grow(self, memory: AOTMemory, objects: int) -> AOTMemory:
        """More channels, and the groups that they need."""
        batch, groups, identities = memory.order.shape
        return memory.grown(objects, self._orders(batch, -(-objects // identities) - groups))

    def _orders(self, batch: int, groups: int) -> Int[Tensor, "B G M"]:
        """Which identity each channel of a group is given: the first the first, and so on; in training any, drawn for every
        clip, so that all identities learn."""
        identities = self.identity_bank.identities
        if self.training:
            drawn = torch.rand(batch, groups, identities)  # on the CPU: the same on every device
            return drawn.argsort(2).to(self.device)
        return torch.arange(identities, device=self.device).expand(batch, groups, -1)

    def segment(self, features: AOTFeatures, memory: AOTMemory) -> Prediction:
        """Every group through the blocks and the decoder. Until an object is registered, all is background."""
        trace = Trace({}, {}, memory.registered)
        for group in memory.begun:
            outputs, trace.candidates[group] = self.lstt(
                features.tokens, features.grid, memory.long[group], memory.short[group], None
            )
            trace.logits[group] = memory.by_channel(self._decoded(features, outputs), group)
        size = (features.skip4.shape[2], features.skip4.shape[3])
        return Prediction(self._merged(trace, size), trace=trace)

    def _decoded(self, features: AOTFeatures, outputs: list[Tensor]) -> Float[Tensor, "B K h4 w4"]:
        """Logits of background and identities, in the identities' order."""
        joined = torch.cat([features.tokens, *outputs] if self.lstt.reads_features else outputs, 2)
        grid = joined.transpose(1, 2).unflatten(2, features.grid)
        return self.decoder(grid, features.skip4, features.skip8, features.skip16)

    def at_size(self, prediction: Prediction, size: tuple[int, int]) -> Float[Tensor, "B K H W"]:
        """Logits, resized before any softmax; those of several groups are merged at that size."""
        return self._merged(prediction.trace, size)

    def _merged(self, trace: Trace, size: tuple[int, int]) -> Float[Tensor, "B K H W"]:
        objects, step = trace.registered.shape[1], self.identity_bank.identities
        members = {group: slice(group * step, min(objects, (group + 1) * step)) for group in trace.logits}
        if not trace.logits:  # nothing is known yet
            return masked(torch.zeros(trace.registered.shape[0], objects + 1, *size, device=self.device), trace.registered)
        return merged({group: self._resized(own, size) for group, own in trace.logits.items()}, members, trace.registered)

    def _resized(self, x: Float[Tensor, "B C h w"], size: tuple[int, int]) -> Float[Tensor, "B C H W"]:
        if x.shape[-2:] == size:
            return x
        return F.interpolate(x, size=size, mode="bilinear", align_corners=self.align_corners)

    def memorize(self, features: AOTFeatures, prediction: Prediction, masks: Masks, memory: AOTMemory, frame: int) -> AOTMemory:
        """A frame with prompts is a reference frame: it passes the blocks again, with its masks, as its own memory, and is
        kept. Any other becomes the short-term memory, and every `long_gap` frames one is appended to the long-term one."""
        reference = bool(masks.given.any())
        registered = memory.registered | masks.given
        memory = dataclasses.replace(memory, registered=registered, reference_logits=None)
        groups = self._claimed(memory) if reference else memory.begun
        if not groups:
            return memory
        gap = self.options.gap(self.training)
        append = reference or (gap is not None and frame - memory.last_write >= gap)
        long, short, pinned = list(memory.long), list(memory.short), list(memory.pinned)
        label_map = self._label_map(masks, memory.size)
        trace = Trace({}, {}, registered) if reference else prediction.trace
        for group in groups:
            identity = self.identity_bank.embed(memory.identity_map(label_map, group))
            if reference:
                outputs, trace.candidates[group] = self.lstt(features.tokens, features.grid, None, None, identity)
                if self.training:
                    trace.logits[group] = memory.by_channel(self._decoded(features, outputs), group)
            short[group] = self.lstt.fuse(trace.candidates[group], identity)
            if append:
                long[group], pinned[group] = memory.appended(
                    group, short[group], pinned=reference, max_frames=self.options.max_frames
                )
        return dataclasses.replace(
            memory,
            long=long,
            short=short,
            pinned=pinned,
            last_write=frame if append else memory.last_write,
            reference_logits=self._merged(trace, memory.size) if reference and self.training else None,
        )

    def _claimed(self, memory: AOTMemory) -> list[int]:
        """Groups that have begun or have an object now."""
        channels = {channel for row in memory.registered.tolist() for channel, used in enumerate(row) if used}
        return sorted({channel // self.identity_bank.identities for channel in channels})

    def _label_map(self, masks: Masks, size: tuple[int, int]) -> Int[Tensor, "B H W"]:
        """Hard masks at the network's size: no gradient passes, and no pixel belongs to two objects."""
        label_map = masks.prob.max(1).indices  # `masks.label_map()`; the CPU finds a maximum faster than an argmax
        if label_map.shape[1:] == size:
            return label_map
        return F.interpolate(label_map[:, None].float(), size=size, mode="nearest")[:, 0].long()

    def relabelled(self, order: list[int]) -> "AOT":
        """A copy whose identities of the channels are exchanged."""
        identities = self.identity_bank.identities
        if not set(order) <= set(range(identities)):
            raise ValueError(f"relabelled({order}): expected channels below {identities}, the objects of one group")
        complete = [*order, *(number for number in range(identities) if number not in order)]
        other = copy.deepcopy(self)
        other.identity_bank.relabelled(complete)
        other.decoder.relabelled(complete)
        return other
