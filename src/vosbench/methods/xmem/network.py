"""XMem, long-term video object segmentation with an Atkinson-Shiffrin memory model (ECCV 2022).

STCN's shared keys with a similarity of their own (shrinkage, selection), and three memories: a sensory one that every frame
renews, a working one of whole frames, and a long-term one of prototypes. Names of the paper; section 3.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vosbench.errors import ConfigError
from vosbench.layers.aggregation import aggregate_prompts, soft_aggregate
from vosbench.layers.bank_read import KeyProjection, read_bank
from vosbench.layers.memory_bank import MemoryBank
from vosbench.layers.tensor_fields import TensorFields
from vosbench.layers.trunk import Trunk, TrunkOptions
from vosbench.layers.value_encoder import ValueEncoder
from vosbench.methods.method import Masks, Method, Prediction, Prompted
from vosbench.methods.registration import entering, in_passes, spread, unregistered
from vosbench.methods.xmem.decoder import Decoder
from vosbench.methods.xmem.memory import MemoryOptions, XMemFeatures, XMemMemory, of_some_frames
from vosbench.methods.xmem.sensory import GatedUpdate

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, RGB in [0, 1]


@dataclass
class Trace(TensorFields):
    """What `segment` made and `memorize` uses again."""

    usage: Float[Tensor, "B M"]  # weight that each element received
    sensory: Float[Tensor, "P Ch h w"]  # after this frame, unless it is stored


class XMem(Method):
    """The method: see the module's first lines."""

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        *,
        key_trunk: TrunkOptions,
        value_trunk: TrunkOptions,
        key_dim: int,
        value_dim: int,
        sensory_dim: int,
        update_dim: int,
        decoder_dims: list[int],
        memory: MemoryOptions,
        objects_per_pass: int | None,
    ) -> None:
        """`decoder_dims`: channels at strides 16, 8 and 4; `update_dim`: of what they are summed to for the sensory memory."""
        super().__init__()
        if len(decoder_dims) != 3:
            raise ConfigError(f"method.decoder_dims={decoder_dims}: expected three widths, for strides 16, 8 and 4.")
        if objects_per_pass is not None and objects_per_pass < 1:
            raise ConfigError(f"method.objects_per_pass={objects_per_pass}: must be at least 1, or null for all at once.")
        self.options, self.objects_per_pass, self.sensory_dim = memory, objects_per_pass, sensory_dim
        self.key_encoder = Trunk(key_trunk, key="method.key_trunk.pretrained")
        c4, c8, c16 = self.key_encoder.channels
        self.projection = KeyProjection(dim=c16, key_dim=key_dim, anisotropic=True)
        self.value_encoder = ValueEncoder(value_trunk, c16, value_dim, biases=False)
        self.reinforce = GatedUpdate(value_dim, sensory_dim)  # the deep update: from the value, which has seen the mask
        d16, d8, d4 = decoder_dims
        self.decoder = Decoder(
            read_dim=value_dim,
            sensory_dim=sensory_dim,
            deep_channels=c16,
            fine_channels=(c4, c8),
            dims=(d16, d8, d4),
            update_dim=update_dim,
        )
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)

    def encode(self, frames: Float[Tensor, "B 3 H W"]) -> XMemFeatures:
        """Maps, key, shrinkage and selection of images; objects play no part."""
        image = (frames - self.mean) / self.deviation
        fine4, fine8, deep = self.key_encoder(image)
        key, selection = self.projection.query(deep)
        assert selection is not None
        return XMemFeatures(image, fine4, fine8, deep, key, self.projection.memory_shrinkage(deep), selection)

    def start(self, batch: int, objects: int, size: tuple[int, int]) -> XMemMemory:
        """Nothing registered, nothing remembered."""
        grid = (size[0] // self.stride, size[1] // self.stride)
        sensory = torch.zeros(batch, objects, self.sensory_dim, *grid, device=self.device)
        return XMemMemory(objects=objects, size=size, sensory=sensory, **unregistered(batch, objects, self.device))

    def grow(self, memory: Any, objects: int) -> XMemMemory:
        """More channels, with nothing remembered until they are registered."""
        return memory.grown(objects)

    def merge(self, prob: Float[Tensor, "B K H W"], prompted: Prompted) -> Float[Tensor, "B K H W"]:
        """A prompt is remembered in the same form as a prediction. Source: the public code."""
        return aggregate_prompts(prob, prompted.planes, prompted.given)

    def segment(self, features: XMemFeatures, memory: Any) -> Prediction:
        """Read, decode, aggregate. While no object is registered nothing is computed: all is background."""
        grid = memory.sensory.shape[-2:]
        if features.key.shape[2] != grid.numel():
            raise ValueError(
                f"a frame of {features.key.shape[2]} cells does not fit a memory of size {memory.size}: start a new memory for it"
            )
        if memory.writes == 0:
            empty = features.image.new_zeros(*memory.registered.shape, *grid)
            return Prediction(soft_aggregate(empty, memory.registered))
        bank = memory.bank()
        if self.training:
            bank = of_some_frames(bank, self.options.training_frames, grid.numel())
        top_k = None if self.training else self.options.top_k
        read, usage = read_bank(bank, memory.born, features.key, features.selection, top_k)
        read = read.unflatten(3, grid)
        of_frame = self.decoder.of_frame(features.deep, features.fine8, features.fine4)

        def decode(number: Tensor, clip: Tensor, channel: Tensor) -> tuple[Tensor, ...]:
            sensory = memory.sensory[clip, channel]
            return self.decoder(torch.cat([read[clip, channel], sensory], 1), sensory, of_frame, clip)

        logits, sensory = in_passes(decode, memory.pairs, self.objects_per_pass)
        dense = spread(logits, memory.pairs, memory.registered.shape)
        return Prediction(soft_aggregate(dense, memory.registered), trace=Trace(usage, sensory))

    def memorize(self, features: XMemFeatures, prediction: Prediction, masks: Masks, memory: Any, frame: int) -> XMemMemory:
        """Every frame renews the sensory memory: one that is stored from its values, with the masks, any other from what the
        decoder made. In training, where every frame is stored, from the decoder, and now and then from the values as well."""
        given = entering(masks)
        has_given = bool(given.any())
        if not has_given and memory.writes == 0:
            return memory
        stored = has_given or self.training or frame - memory.last_write >= self.options.every
        trace = prediction.trace
        if trace is not None and not self.training:
            memory = memory.used(trace.usage)
        if trace is not None and (self.training or not stored):
            memory = dataclasses.replace(memory, sensory=spread(trace.sensory, memory.pairs, memory.registered.shape))
        return self._stored(features, masks, memory, given, frame) if stored else memory

    def _stored(
        self, features: XMemFeatures, masks: Masks, memory: XMemMemory, given: Bool[Tensor, "B N"], frame: int
    ) -> XMemMemory:
        has_given = bool(given.any())
        memory = memory.with_registered(given)
        planes = masks.planes * memory.registered[:, :, None, None]
        deep = has_given or not self.training or bool(torch.rand(()) < self.options.deep_probability)
        total, of_frame = planes.sum(1, keepdim=True), self.value_encoder.fuser.of_frame(features.deep)

        def encode(number: Tensor, clip: Tensor, channel: Tensor) -> tuple[Tensor, ...]:
            own, sensory = planes[clip, channel][:, None], memory.sensory[clip, channel]
            value = self.value_encoder(features.image[clip], own, total[clip] - own, of_frame, clip)
            return value, self.reinforce(value, sensory) if deep else sensory

        value, sensory = in_passes(encode, memory.pairs, self.objects_per_pass)
        shape = memory.registered.shape
        newest = MemoryBank.written(
            features.key,
            features.shrinkage,
            spread(value.flatten(2), memory.pairs, shape),
            write_no=memory.writes,
            protected=has_given,
        )
        memory = dataclasses.replace(memory, sensory=spread(sensory, memory.pairs, shape))
        memory = memory.written(newest, features.selection, frame)
        return memory if self.training else memory.consolidated(self.options, features.key.shape[2])
