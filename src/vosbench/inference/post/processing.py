"""Post-processing inside the session: rules on the final masks of a frame, before they are remembered (specification 8.3, 8.4).

A rule decides on label maps, at the masks' size, and answers in probabilities whose largest is the new label, so that a method
is fed back what the user gets. Pixels that an object loses go to the background with all of the object's probability.
"""

import logging
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from vosbench.inference.post.far_components import FarComponents
from vosbench.inference.post.small_objects import CropPass, SmallObjects, with_probability
from vosbench.inference.post.windows import Area
from vosbench.layers.sizing import Sizing
from vosbench.methods.method import Method

log = logging.getLogger(__name__)

LabelMap = UInt8[np.ndarray, "H W"]  # 0 background, channel + 1 of the object


@dataclass(frozen=True)
class PostRules:
    """The rules that are switched on, in the order in which they are applied; None is off."""

    components: FarComponents | None
    small: SmallObjects | None

    def __post_init__(self) -> None:
        for name, kind in (("components", FarComponents), ("small", SmallObjects)):
            rule = getattr(self, name)
            if rule is not None and not isinstance(rule, kind):
                raise ValueError(f"post.{name} must be a rule or null, got {rule!r}: post={name} switches it on, post=camn both")

    def for_video(self, method: Method, sizing: Sizing) -> "PostProcessor | None":
        """What applies them to one video; None where there is nothing to apply."""
        if self.components is None and self.small is None:
            return None
        return PostProcessor(self, method, sizing)


@dataclass(frozen=True)
class PostFrame:
    """What the rules get to know of a frame."""

    image: Tensor  # (H, W, 3), as the session was given it
    number: int
    ids: list[int]  # of the channels
    given: set[int]  # channels that are prompted on this frame
    given_masks: set[int]  # those of them whose prompt is a mask


class PostProcessor:
    """The rules, and what they remember of one video: for each object the last frame with a pixel of it, and with the second
    rule the frame before and a crop of the frame in which the object was given."""

    def __init__(self, rules: PostRules, method: Method, sizing: Sizing) -> None:
        self._components, self._area = rules.components, Area.of(sizing)
        self._crops: CropPass | None = None
        if rules.small is not None and "mask" in method.prompt_kinds:
            self._crops = CropPass(rules.small, method, self._area)
        elif rules.small is not None:
            log.warning("post.small is left out: %s takes boxes, and a crop's prompts are masks.", type(method).__name__)
        self._last: dict[int, tuple[LabelMap, int]] = {}  # channel -> label map, number of the frame
        self._before: tuple[Tensor, LabelMap] | None = None  # the frame before: image, label map

    def revise(self, frame: PostFrame, prob: Float[Tensor, "1 K H W"]) -> Float[Tensor, "1 K H W"]:
        """Both rules on a predicted frame."""
        revised = prob[0]
        if self._components is not None:
            revised = self._without_far(self._components, frame, revised)
        if self._crops is not None:
            revised = self._with_small(self._crops, frame, revised)
        return revised[None]

    def remember(self, frame: PostFrame, prob: Float[Tensor, "1 K H W"]) -> None:
        """The frame's final masks, prompts included."""
        label_map = _label_map(prob[0])
        for label in np.unique(label_map):
            if label:
                self._last[int(label) - 1] = label_map, frame.number
        if self._crops is not None:
            self._before = frame.image.clone(), label_map  # the caller may draw the next frame into the same array
            for channel in frame.given_masks:
                self._crops.refer(channel, frame.image, label_map)

    def _without_far(self, rule: FarComponents, frame: PostFrame, prob: Float[Tensor, "K H W"]) -> Float[Tensor, "K H W"]:
        label_map = _label_map(prob)
        gone = np.zeros(label_map.shape, bool)
        for channel, (before, number) in self._last.items():
            mask = label_map == channel + 1
            if channel not in frame.given and mask.any():
                gone |= rule.dropped(mask, before == channel + 1, frame.number - number, self._area.diagonal)
        if not gone.any():
            return prob
        channels = torch.arange(prob.shape[0], device=prob.device)[:, None, None]
        lost = torch.from_numpy(gone).to(prob.device) & (channels == prob.argmax(0))
        revised = torch.where(lost, 0.0, prob)
        revised[0] += (prob * lost).sum(0)
        return revised

    def _with_small(self, crops: CropPass, frame: PostFrame, prob: Float[Tensor, "K H W"]) -> Float[Tensor, "K H W"]:
        if self._before is None:
            return prob
        image, before = self._before
        label_map = _label_map(prob)
        for channel in crops.rule.chosen(label_map, frame.ids, frame.given, self._area):
            old = label_map == channel + 1
            if not crops.known(channel) or not old.any():  # an object before it in this loop may have taken its pixels
                continue
            window = crops.rule.around(old | (before == channel + 1), self._area)
            mine = crops.probability(channel, window, (image, frame.image), before)
            changed = with_probability(prob, channel, window, mine)
            changed_map = _label_map(changed)
            if crops.rule.accepts(changed_map == channel + 1, old, window.side):
                prob, label_map = changed, changed_map
        return prob


def _label_map(prob: Float[Tensor, "K H W"]) -> LabelMap:
    return prob.argmax(0).to(torch.uint8).cpu().numpy()
