"""The streaming contract: four functions over one explicit memory, the same for training and for inference.

``encode`` looks at images alone, ``segment`` reads the memory, ``memorize`` returns the next one. `Method.step` strings
them together for one frame; `Method.forward` unrolls that over a clip, `inference.session` over a video. Nothing else
of a method is called from outside, so a model cannot be right in one and wrong in the other.
"""

import abc
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.layers.sizing import PaddedSizing, Sizing
from vosbench.layers.tensor_fields import Own, TensorFields
from vosbench.video.clip import Clip


@dataclass
class Features(TensorFields):
    """What `encode` makes of images, batch first in every tensor. A method adds its own fields."""

    def rows(self: Own, start: int, stop: int) -> Own:
        """Features of images start..stop-1 of the batch."""
        return self.map(lambda tensor: tensor[start:stop])


@dataclass
class Memory(TensorFields):
    """All that a method carries from frame to frame. A method adds its own fields; tensors of the memory are never
    changed in place, because a caller may still hold the previous memory."""

    objects: int  # length N of the object axis; which channels are in use is the method's to keep
    size: tuple[int, int]  # (H, W) of the network's input


@dataclass
class Prompted:
    """What a frame's user gives: one plane per channel, and which channels are given."""

    planes: Float[Tensor, "B N H W"]  # masks in [0, 1] at the masks' size; for a method that takes boxes, the filled boxes
    given: Bool[Tensor, "B N"]
    boxes: Float[Tensor, "B N 4"] | None = None  # (x0, y0, x1, y1) in the network's input; NaN where none; None: planes say it
    window: tuple[int, int, int, int] | None = None  # (x0, y0, x1, y1): what the frame fills of that input; None: all of it


@dataclass
class Masks:
    """Final masks of one frame, as `memorize` gets them: soft, aggregated, prompts merged in, at the masks' size."""

    prob: Float[Tensor, "B K H W"]  # background first, sums to one
    given: Bool[Tensor, "B N"]  # channels whose plane is a prompt of this very frame
    is_truth: bool = False  # annotations of a training clip, which no prompt gave (teacher forcing)

    @property
    def planes(self) -> Float[Tensor, "B N H W"]:
        """The objects alone."""
        return self.prob[:, 1:]

    def label_map(self) -> Int[Tensor, "B H W"]:
        """Hard masks: 0 background, 1..N channel + 1."""
        return self.prob.argmax(1)


@dataclass
class Prediction:
    """What `segment` says of one frame."""

    logits: Float[Tensor, "B K h w"]  # K = 1 + N, background first; any resolution; softmax over K
    aux: dict[str, Tensor] = field(default_factory=dict)  # further outputs, for the method's own loss terms
    trace: Any = None  # what segment computed and memorize uses again, so that no work is done twice


@dataclass
class Step:
    """One frame propagated."""

    prediction: Prediction
    logits: Float[Tensor, "B K H W"]  # the prediction's, at the masks' size
    prob: Float[Tensor, "B K H W"]  # their softmax, with the prompts merged in
    memory: Any  # after the frame; of the last frame of a training clip the one that it read


Revise = Callable[[Float[Tensor, "B K H W"]], Float[Tensor, "B K H W"]]  # of probabilities at the masks' size


def paste_prompts(prob: Float[Tensor, "B K H W"], prompted: Prompted) -> Float[Tensor, "B K H W"]:
    """A given plane replaces its object's channel and wins its pixels; the background is what is left over."""
    given = prompted.given[:, :, None, None]
    planes = prompted.planes * given
    others = torch.where(given, 0.0, prob[:, 1:]) * (1 - planes.sum(1, keepdim=True)).clamp(0, 1)
    return with_background(others + planes)


def with_background(planes: Float[Tensor, "B N H W"]) -> Float[Tensor, "B N+1 H W"]:
    """Planes that do not overlap, with what they leave over in front."""
    return torch.cat([(1 - planes.sum(1, keepdim=True)).clamp(min=0), planes], 1)


class Method(nn.Module, abc.ABC):
    """A video-object-segmentation network with an explicit memory.

    Subclasses write the four functions. Objects are channels 0..N-1 of a padded axis; a channel is in use from the frame
    in which its prompt is given. `self.training` may switch what a paper switches (top-k, eviction), nothing else.
    """

    prompt_kinds: ClassVar[frozenset[str]] = frozenset({"mask"})  # of "mask", "box"
    stride: ClassVar[int] = 16  # of the deepest map; `sizing` makes inputs that fit it
    learns: ClassVar[bool] = True  # False: has nothing to train, a floor for the others
    _anchor: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer(
            "_anchor", torch.empty(0), persistent=False
        )  # moves with the method, also where it has no parameters

    @property
    def device(self) -> torch.device:
        """Where the method computes."""
        return self._anchor.device

    @abc.abstractmethod
    def encode(self, frames: Float[Tensor, "B 3 H W"]) -> Any:
        """Features of images, RGB in [0, 1]; objects are unknown here. H, W are multiples of `stride`."""

    @abc.abstractmethod
    def start(self, batch: int, objects: int, size: tuple[int, int]) -> Any:
        """An empty memory for `objects` channels (0 is allowed) at input size (H, W)."""

    @abc.abstractmethod
    def grow(self, memory: Any, objects: int) -> Any:
        """The same memory with a longer object axis; the new channels hold nothing yet."""

    @abc.abstractmethod
    def segment(self, features: Any, memory: Any) -> Prediction:
        """Prediction for one frame from its features and the memory alone."""

    @abc.abstractmethod
    def memorize(self, features: Any, prediction: Prediction, masks: Masks, memory: Any, frame: int) -> Any:
        """The memory after frame number `frame` with its final masks. Returns a new memory; decides itself what to keep."""

    def sizing(self, height: int, width: int, long_edge: int | None, short_edge: int | None) -> Sizing:
        """How frames of a video of that size enter the network, and at what size its masks are made and remembered."""
        return PaddedSizing.of(height, width, self.stride, long_edge, short_edge)

    def at_size(self, prediction: Prediction, size: tuple[int, int]) -> Float[Tensor, "B K H W"]:
        """The prediction's logits at the masks' size (H, W)."""
        if prediction.logits.shape[-2:] == size:
            return prediction.logits
        return F.interpolate(prediction.logits, size=size, mode="bilinear", align_corners=False)

    def with_prompts(self, memory: Any, prompted: Prompted) -> Any:
        """The memory that the frame of these prompts is segmented with: the same, unless a paper's masks follow from prompts."""
        return memory

    def merge(self, prob: Float[Tensor, "B K H W"], prompted: Prompted) -> Float[Tensor, "B K H W"]:
        """Final probabilities of a frame that carries prompts; a paper may prescribe another rule than `paste_prompts`."""
        return paste_prompts(prob, prompted)

    def relabelled(self, order: list[int]) -> "Method":
        """A network in which channel i takes the part of this one's channel ``order[i]``, where channels differ.

        They do where each object is given a learnt vector of its own; for every other method the channels are alike.
        """
        return self

    def step(
        self,
        features: Any,
        memory: Any,
        frame: int,
        prompted: Prompted | None = None,
        *,
        size: tuple[int, int] | None = None,
        truth: Float[Tensor, "B N H W"] | None = None,
        revise: Revise | None = None,
    ) -> Step:
        """One frame: segment, revise, merge the prompts of this frame, memorize.

        `size` is the masks' (H, W), the network's input size where it is None. `truth` is remembered in the place of what
        was predicted (teacher forcing); `revise` changes probabilities before they are merged (post-processing).
        """
        step, masks = self._segmented(features, memory, prompted, size, truth, revise)
        return replace(step, memory=self.memorize(features, step.prediction, masks, step.memory, frame))

    def _segmented(
        self,
        features: Any,
        memory: Any,
        prompted: Prompted | None,
        size: tuple[int, int] | None = None,
        truth: Float[Tensor, "B N H W"] | None = None,
        revise: Revise | None = None,
    ) -> tuple[Step, Masks]:
        """The step with the memory that it reads, and the masks that it leaves to be remembered."""
        if prompted is not None:
            memory = self.with_prompts(memory, prompted)
        prediction = self.segment(features, memory)
        logits = self.at_size(prediction, size or memory.size)
        prob = logits.float().softmax(dim=1)
        if revise is not None:
            prob = revise(prob)
        given = torch.zeros(prob.shape[0], prob.shape[1] - 1, dtype=torch.bool, device=prob.device)
        if prompted is not None:
            prob, given = self.merge(prob, prompted), prompted.given
        masks = Masks(prob, given) if truth is None else Masks(with_background(truth), given, is_truth=True)
        return Step(prediction, logits, prob, memory), masks

    def forward(self, clip: Clip, prompted: int = 1, forced: int = 0) -> list[Step]:
        """Unroll over a clip: the objects of the first `prompted` frames are prompted there, the first `forced` frames are
        remembered as they are annotated, and every other frame as the method itself segments it. The last frame is not
        remembered: its step holds the memory that it read."""
        batch, length = clip.image.shape[:2]
        size = (clip.image.shape[-2], clip.image.shape[-1])
        features = self.encode(clip.image.transpose(0, 1).flatten(0, 1))  # time first, so that a frame is one slice
        memory = self.start(batch, clip.present.shape[1], size)
        steps = []
        for t in range(length):
            annotated = clip.masks(t) if t < max(prompted, forced) else None
            given = None
            if t < prompted and annotated is not None:
                given = Prompted(annotated, clip.present & (annotated.sum((2, 3)) > 0))
            truth = annotated if prompted <= t < forced else None
            of_frame = features.rows(t * batch, (t + 1) * batch)
            step, masks = self._segmented(of_frame, memory, given, truth=truth)
            if t + 1 < length:  # nothing reads what the last frame would leave
                memory = self.memorize(of_frame, step.prediction, masks, step.memory, t)
                step = replace(step, memory=memory)
            steps.append(step)
        return steps
