"""What the memory networks of STM's family share: when a frame is stored, how it is read, how masks are aggregated.

A frame with given masks is stored for good; every `every` frames one more is stored; the frame before may be kept for one
step. Each registered object reads the frames since its registration. Sources: STM, section 3; STCN, section 3.
"""

import abc
import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from vosbench.errors import ConfigError
from vosbench.layers.aggregation import aggregate_prompts, soft_aggregate
from vosbench.layers.frame_bank import ORDINARY, PERMANENT, TEMPORARY, FrameBank
from vosbench.methods.method import Features, Masks, Method, Prediction, Prompted
from vosbench.methods.registration import RegisteredMemory, entering, spread, unregistered

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, RGB in [0, 1]


@dataclass
class MemoryOptions:
    """What is stored and how it is read outside training, where every frame is stored and all of it is read."""

    every: int  # frames between two that are stored
    include_last: bool  # the frame before is read, too
    top_k: int | None  # tokens that a query reads; None: all
    max_frames: int | None  # stored frames that an object reads, those with given masks among them; None: all
    kernel_sigma: float | None  # weight a token by the distance of its nearest query, in cells; None: no

    def __post_init__(self) -> None:
        for name, least in {"every": 1, "top_k": 1, "max_frames": 2}.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"method.memory.{name}={value}: must be at least {least}.")
        if self.kernel_sigma is not None and self.kernel_sigma <= 0:
            raise ConfigError(f"method.memory.kernel_sigma={self.kernel_sigma}: must be above 0, or null for none.")


@dataclass
class SpaceTimeFeatures(Features):
    """Everything about an image that does not depend on a memory."""

    image: Float[Tensor, "B 3 H W"]  # ImageNet mean and deviation taken out
    key: Float[Tensor, "B L Ck"]  # what the memory is asked for, cell by cell


@dataclass(kw_only=True)
class SpaceTimeMemory(RegisteredMemory):
    """Stored frames. `writes` counts those that last, `last_write` is the frame of the latest of them."""

    bank: dict[str, Any] | None = None  # fields of the `FrameBank`; None before the first write

    @property
    def frames(self) -> FrameBank:
        """The stored frames."""
        assert self.bank is not None
        return FrameBank(**self.bank)

    def grown_fields(self, objects: int) -> dict[str, Any]:
        """The fields that a longer object axis changes."""
        bank = None if self.bank is None else self.frames.grown(objects).fields()
        return {**super().grown_fields(objects), "bank": bank}


class SpaceTimeMethod(Method):
    """Subclasses write `encode`, `decode` and `remember`, and say how keys are compared and whether objects share them."""

    similarity: ClassVar[str]  # "dot" or "l2"
    shared_keys: ClassVar[bool]
    mean: Tensor
    deviation: Tensor

    def __init__(self, memory: MemoryOptions, objects_per_pass: int | None) -> None:
        super().__init__()
        if objects_per_pass is not None and objects_per_pass < 1:
            raise ConfigError(f"method.objects_per_pass={objects_per_pass}: must be at least 1, or null for all at once.")
        self.options, self.objects_per_pass = memory, objects_per_pass
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)

    @abc.abstractmethod
    def decode(self, features: Any, read: Float[Tensor, "B N Cv h w"], memory: Any) -> Float[Tensor, "P H W"]:
        """One logit per pixel and registered object, from what each has read."""

    @abc.abstractmethod
    def remember(
        self, features: Any, planes: Float[Tensor, "B N H W"], memory: Any, stored: bool
    ) -> tuple[Any, tuple[Float[Tensor, "B G L Ck"], Float[Tensor, "B N L Cv"]] | None]:
        """The memory with whatever else this frame changes, and the frame's keys and values; None where it is not stored."""

    def normalised(self, frames: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        """ImageNet mean and deviation taken out."""
        return (frames - self.mean) / self.deviation

    def start(self, batch: int, objects: int, size: tuple[int, int]) -> SpaceTimeMemory:
        """Nothing registered, nothing stored."""
        return SpaceTimeMemory(objects=objects, size=size, **unregistered(batch, objects, self.device))

    def grow(self, memory: Any, objects: int) -> SpaceTimeMemory:
        """More channels, which read nothing until they are registered."""
        return dataclasses.replace(memory, **memory.grown_fields(objects))

    def merge(self, prob: Float[Tensor, "B K H W"], prompted: Prompted) -> Float[Tensor, "B K H W"]:
        """A prompt is remembered in the same form as a prediction. Source: the public code of STCN."""
        return aggregate_prompts(prob, prompted.planes, prompted.given)

    def segment(self, features: Any, memory: Any) -> Prediction:
        """Read, decode, aggregate. While no object is registered nothing is computed: all is background."""
        grid = (memory.size[0] // self.stride, memory.size[1] // self.stride)
        if features.key.shape[1] != grid[0] * grid[1]:
            raise ValueError(
                f"a frame of {features.key.shape[1]} cells does not fit a memory of size {memory.size}: start a new memory for it"
            )
        if memory.writes == 0:
            empty = features.image.new_zeros(*memory.registered.shape, *grid)
            return Prediction(soft_aggregate(empty, memory.registered))
        read = memory.frames.read(
            features.key,
            memory.born,
            max_frames=None if self.training else self.options.max_frames,
            similarity=self.similarity,
            top_k=None if self.training else self.options.top_k,
            kernel_sigma=None if self.training else self.options.kernel_sigma,
            size=grid,
        )
        read = read.unflatten(2, grid).permute(0, 1, 4, 2, 3)
        logits = self.decode(features, read, memory)
        return Prediction(soft_aggregate(spread(logits, memory.pairs, memory.registered.shape), memory.registered))

    def memorize(self, features: Any, prediction: Prediction, masks: Masks, memory: Any, frame: int) -> SpaceTimeMemory:
        """Store the frame for good if masks are given, else when its turn has come, else for one step if that is asked for."""
        given = entering(masks)
        has_given = bool(given.any())
        if not has_given and memory.writes == 0:
            return memory
        kind = self._kind(has_given, self.training or frame - memory.last_write >= self.options.every)
        if has_given:
            memory = memory.with_registered(given)
        planes = masks.planes * memory.registered[:, :, None, None]
        memory, entry = self.remember(features, planes, memory, kind is not None)
        return memory if entry is None or kind is None else self._stored(*entry, memory, kind, frame)

    def _stored(
        self, key: Float[Tensor, "B G L Ck"], value: Float[Tensor, "B N L Cv"], memory: SpaceTimeMemory, kind: str, frame: int
    ) -> SpaceTimeMemory:
        """With one more frame, in the place of the temporary one if there is one."""
        bank = FrameBank.written(key, value, shared=self.shared_keys, kind=kind, number=memory.writes)
        lasting = None if memory.bank is None else memory.frames.lasting()
        bank = bank if lasting is None else lasting.joined(bank)
        if kind == TEMPORARY:
            return dataclasses.replace(memory, bank=bank.fields())
        if not self.training:
            bank = bank.bounded(memory.born, self.options.max_frames, "method.memory.max_frames")
        return dataclasses.replace(memory, bank=bank.fields(), writes=memory.writes + 1, last_write=frame)

    def _kind(self, has_given: bool, due: bool) -> str | None:
        if has_given or due:
            return PERMANENT if has_given else ORDINARY
        return TEMPORARY if self.options.include_last else None
