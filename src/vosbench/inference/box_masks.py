"""From the boxes of one frame to masks, for methods that take masks: filled, by colour, or by a method that takes boxes."""

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from vosbench.errors import PromptError
from vosbench.inference.session import Session
from vosbench.methods.method import Method
from vosbench.video.prompt import Box, Prompt, box_to_mask

Image = UInt8[np.ndarray, "H W 3"]
Masks = dict[int, Bool[np.ndarray, "H W"]]
MasksOfBoxes = Callable[[Image, dict[int, Box]], Masks]  # every box has a part inside the image


def boxes_to_masks(prompts: Mapping[int, Any], image: Image, where: str, masks_of: MasksOfBoxes) -> dict[int, Any]:
    """The same prompts with a mask in the place of every box. `where` names video and frame."""
    boxes: dict[int, Box] = {}
    for object_id, value in prompts.items():
        if np.ndim(value) == 1:
            x0, y0, x1, y1 = (float(edge) for edge in value)
            Prompt(object_id, box=(x0, y0, x1, y1)).checked(image.shape[0], image.shape[1], where)
            boxes[object_id] = (x0, y0, x1, y1)
    masks = masks_of(image, boxes) if boxes else {}
    lost = [object_id for object_id in boxes if not masks[object_id].any()]
    if lost:
        raise PromptError(
            f"{where}: no object is found in the box {list(boxes[lost[0]])} of object {lost[0]}; draw the box closer, or give a mask."
        )
    return {object_id: masks.get(object_id, value) for object_id, value in prompts.items()}


def rectangle(image: Image, boxes: dict[int, Box]) -> Masks:
    """The boxes themselves as masks: what a tracker starts from where nobody looks inside the box."""
    return {object_id: box_to_mask(box, *image.shape[:2]) for object_id, box in boxes.items()}


def grabcut(image: Image, boxes: dict[int, Box]) -> Masks:
    """Masks of what boxes surround, by colour alone (Rother et al., GrabCut, 2004, in OpenCV's implementation)."""
    return {object_id: _grabcut(image, box) for object_id, box in boxes.items()}


def by_method(method: Method, *, long_edge: int | None = None, short_edge: int | None = None) -> MasksOfBoxes:
    """Masks as a method that takes boxes predicts them on the prompted frame itself; objects exclude each other."""

    def masks_of(image: Image, boxes: dict[int, Box]) -> Masks:
        session = Session(method, long_edge=long_edge, short_edge=short_edge)
        label_map = session.label_map(session.step(image, boxes))
        return {object_id: label_map == object_id for object_id in boxes}

    return masks_of


def _grabcut(image: Image, box: Box, rounds: int = 5) -> Bool[np.ndarray, "H W"]:
    height, width = image.shape[:2]
    x0, y0 = max(0, int(box[0])), max(0, int(box[1]))
    x1, y1 = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    labels = np.zeros((height, width), np.uint8)
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # its clustering draws random numbers
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    cv2.grabCut(bgr, labels, (x0, y0, x1 - x0, y1 - y0), background, foreground, rounds, cv2.GC_INIT_WITH_RECT)
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
