"""`repeat`: the prompt mask, for ever. A floor: what a method that looks at no later frame reaches. `repeat_box`: the same with
the prompt's box, the floor of methods that are given no mask."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vosbench.layers.planes import planes_to_logits
from vosbench.methods.method import Features, Masks, Memory, Method, Prediction, Prompted, paste_prompts


@dataclass
class NoFeatures(Features):
    """Nothing is read from the image."""

    images: Float[Tensor, "B 0"]


@dataclass
class RepeatMemory(Memory):
    """The planes that were prompted, kept as they were given."""

    planes: Float[Tensor, "B N H W"]


class Repeat(Method):
    """Every object stays where its prompt put it."""

    prompt_kinds = frozenset({"mask", "box"})
    learns = False

    def encode(self, frames: Float[Tensor, "B 3 H W"]) -> NoFeatures:
        return NoFeatures(frames.new_zeros(frames.shape[0], 0))

    def start(self, batch: int, objects: int, size: tuple[int, int]) -> RepeatMemory:
        return RepeatMemory(objects, size, torch.zeros(batch, objects, *size, device=self.device))

    def grow(self, memory: RepeatMemory, objects: int) -> RepeatMemory:
        planes = F.pad(memory.planes, (0, 0, 0, 0, 0, objects - memory.objects))
        return replace(memory, objects=objects, planes=planes)

    def segment(self, features: NoFeatures, memory: RepeatMemory) -> Prediction:
        return Prediction(planes_to_logits(memory.planes))

    def memorize(
        self, features: NoFeatures, prediction: Prediction, masks: Masks, memory: RepeatMemory, frame: int
    ) -> RepeatMemory:
        if not bool(masks.given.any()):
            return memory
        given = masks.given[:, :, None, None]
        # A later prompt takes its pixels from the objects that stood there before, as it does in the frame itself.
        taken = (masks.planes * given).sum(1, keepdim=True).clamp(0, 1)
        return replace(memory, planes=torch.where(given, masks.planes, memory.planes * (1 - taken)))


class RepeatBox(Repeat):
    """Every object fills the box of its prompt. Where boxes overlap, the smaller one is in front."""

    prompt_kinds = frozenset({"box"})

    def merge(self, prob: Float[Tensor, "B K H W"], prompted: Prompted) -> Float[Tensor, "B K H W"]:
        filled = prompted.planes.amax(2, keepdim=True) * prompted.planes.amax(3, keepdim=True)  # also a mask becomes its box
        filled = filled * prompted.given[:, :, None, None]
        area = torch.where(filled > 0, filled.sum((2, 3), keepdim=True), torch.inf)
        in_front = torch.zeros_like(filled).scatter_(1, area.argmin(1, keepdim=True), 1.0)
        return paste_prompts(prob, replace(prompted, planes=filled * in_front))
