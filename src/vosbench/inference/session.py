"""`Session`: one video through one method, frame by frame, in bounded memory.

It is handed images and the prompts of each frame, nothing else; later frames and annotations are out of reach.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from vosbench.errors import PromptError
from vosbench.inference.objects import ObjectTable
from vosbench.inference.post.processing import PostFrame, PostProcessor, PostRules
from vosbench.layers.sizing import Sizing
from vosbench.methods.method import Method, Prompted, paste_prompts
from vosbench.video.prompt import Box, Prompt, box_to_mask, mask_to_box

log = logging.getLogger(__name__)

GivenPrompt = np.ndarray | Tensor | Sequence[float | int]


class Session:
    """Streams one video through a method. `method` is put into eval mode and used on the device where it lies.

    `long_edge` (pixels) lets the network work at a smaller size than the frame's, `short_edge` at exactly that short edge;
    the answer always has the frame's own size. `post` changes masks before they are answered and remembered.
    """

    def __init__(
        self,
        method: Method,
        *,
        long_edge: int | None = None,
        short_edge: int | None = None,
        post: PostRules | None = None,
    ) -> None:
        self.method = method.eval()
        self.long_edge, self.short_edge = long_edge, short_edge
        self._post_rules = post
        self._post: PostProcessor | None = None
        self._objects = ObjectTable()
        self._sizing: Sizing | None = None
        self._memory: Any = None
        self._boxes: Float[Tensor, "N 4"] | None = None
        self._frame_index = -1
        self._device = method.device

    @property
    def object_ids(self) -> list[int]:
        """Ids of the channels 1.. of what `step` returns."""
        return list(self._objects.ids)

    @property
    def memory(self) -> Any:
        """What the method remembers; None before the first prompt."""
        return self._memory

    @property
    def boxes(self) -> dict[int, Box | None]:
        """Boxes (x0, y0, x1, y1) of the newest frame in its own pixels, by object id, from a method that predicts boxes; None
        for an object that is not seen. In the frame of its prompt an object has the prompt's."""
        if self._boxes is None or self._sizing is None:
            return {}
        found = self._sizing.restore_boxes(self._boxes[0]).tolist()
        return {
            object_id: None if math.isnan(x0) else (x0, y0, x1, y1)
            for object_id, (x0, y0, x1, y1) in zip(self._objects.ids, found, strict=True)
        }

    @torch.inference_mode()
    def step(
        self,
        image: UInt8[np.ndarray, "H W 3"] | Float[np.ndarray, "H W 3"] | Tensor,
        prompts: Mapping[int, GivenPrompt] | None = None,
    ) -> Float[Tensor, "K H W"]:
        """Probabilities of background and objects for the next frame, float32, at the frame's own size.

        `image` is (H, W, 3) RGB, uint8 or float in [0, 1]. `prompts` maps object ids to a mask (H, W) or a box
        [x0, y0, x1, y1] in pixels. Where a mask is given, the answer holds it unchanged.
        """
        self._frame_index += 1
        pixels = torch.as_tensor(image)
        if pixels.ndim != 3 or pixels.shape[2] != 3:
            raise PromptError(f"frame {self._frame_index} has shape {tuple(pixels.shape)}; give an RGB image of shape (H, W, 3).")
        height, width = int(pixels.shape[0]), int(pixels.shape[1])
        self._fix_size(height, width)
        assert self._sizing is not None
        given = self._checked(prompts or {}, height, width)
        if not len(self._objects) and not given:
            return torch.ones(1, height, width, device=self._device)

        channels = [self._objects.register(prompt.object_id) for prompt in given]
        if self._memory is None:
            self._memory = self.method.start(1, len(self._objects), self._sizing.network)
        elif len(self._objects) > self._memory.objects:
            self._memory = self.method.grow(self._memory, len(self._objects))
        planes = self._planes(given, channels, height, width)
        prompted = None if planes is None else self._prompted(planes, given, channels)
        features = self.method.encode(self._sizing.image(pixels.to(self._device, non_blocking=True)))
        masks = [channel for prompt, channel in zip(given, channels, strict=True) if prompt.mask is not None]
        frame = PostFrame(pixels, self._frame_index, self.object_ids, set(channels), set(masks))
        revise = None if self._post is None else partial(self._post.revise, frame)
        step = self.method.step(features, self._memory, self._frame_index, prompted, size=self._sizing.masks, revise=revise)
        self._memory = step.memory
        if self._post is not None:
            self._post.remember(frame, step.prob)
        self._boxes = step.prediction.aux.get("boxes")
        prob = self._sizing.restore(step.prob[0].float())
        if masks and planes is not None:
            final = Prompted(planes[None], torch.zeros(1, len(self._objects), dtype=torch.bool, device=self._device))
            final.given[0, masks] = True
            prob = paste_prompts(prob[None], final)[0]
        return prob

    def label_map(self, prob: Float[Tensor, "K H W"]) -> UInt8[np.ndarray, "H W"]:
        """Object ids per pixel: the largest probability wins."""
        ids = torch.tensor([0, *self._objects.ids], dtype=torch.uint8, device=prob.device)
        return ids[prob.argmax(0)].cpu().numpy()

    def _fix_size(self, height: int, width: int) -> None:
        if self._sizing is None:
            self._sizing = self.method.sizing(height, width, self.long_edge, self.short_edge)
            self._post = None if self._post_rules is None else self._post_rules.for_video(self.method, self._sizing)
        elif self._sizing.frame != (height, width):
            before = "x".join(map(str, self._sizing.frame))
            raise PromptError(
                f"frame {self._frame_index} is {height}x{width} but the video began with {before}; start a new session for another size."
            )

    def _checked(self, prompts: Mapping[int, GivenPrompt], height: int, width: int) -> list[Prompt]:
        """The prompts of this frame in the kind that the method takes; those without a pixel are left out, and said so."""
        where = f"frame {self._frame_index}"
        checked = []
        for object_id, value in prompts.items():
            if np.ndim(value) == 1 and len(value) == 4:
                x0, y0, x1, y1 = (float(edge) for edge in value)
                prompt = Prompt(int(object_id), box=(x0, y0, x1, y1))
            else:
                prompt = Prompt(int(object_id), mask=np.asarray(value) > 0)
            prompt = prompt.checked(height, width, where)
            if prompt.mask is not None and not prompt.mask.any():
                log.warning("%s: the mask of object %d has no pixel; the object is not registered.", where, prompt.object_id)
                continue
            checked.append(self._as_taken(prompt, where))
        return checked

    def _as_taken(self, prompt: Prompt, where: str) -> Prompt:
        kinds = self.method.prompt_kinds
        if prompt.mask is not None and "mask" not in kinds:
            log.info("%s: the mask of object %d is turned into its box; this method takes boxes.", where, prompt.object_id)
            return Prompt(prompt.object_id, box=mask_to_box(prompt.mask))
        if prompt.box is not None and "box" not in kinds:
            name = type(self.method).__name__
            raise PromptError(
                f"{where}: object {prompt.object_id} is given by a box, but {name} takes masks; give a mask, or let task=segment make "
                "one of the box with box_to_mask=<checkpoint of qmra>, box_to_mask=grabcut or box_to_mask=rectangle."
            )
        return prompt

    def _planes(self, given: list[Prompt], channels: list[int], height: int, width: int) -> Float[Tensor, "N H W"] | None:
        """One binary plane per object at the frame's size; where prompts overlap, the later one has the pixel."""
        if not given:
            return None
        planes = np.zeros((len(self._objects), height, width), np.float32)
        for prompt, channel in zip(given, channels, strict=True):
            inside = prompt.mask if prompt.mask is not None else box_to_mask(prompt.box, height, width)  # type: ignore[arg-type]
            if prompt.mask is not None:
                planes[:, inside] = 0
            planes[channel, inside] = 1
        return torch.from_numpy(planes).to(self._device)

    def _prompted(self, planes: Float[Tensor, "N H W"], prompts: list[Prompt], channels: list[int]) -> Prompted:
        assert self._sizing is not None
        given = torch.zeros(1, len(self._objects), dtype=torch.bool)
        given[0, channels] = True
        boxes = torch.full((len(self._objects), 4), torch.nan)
        for prompt, channel in zip(prompts, channels, strict=True):
            if prompt.box is not None:
                boxes[channel] = torch.tensor(prompt.box)
        # Boxes go by themselves: filled and resized they would lose their edges.
        boxes = self._sizing.boxes(boxes)[None].to(self._device)
        return Prompted(self._sizing.planes(planes)[None], given.to(self._device), boxes, self._sizing.window)
