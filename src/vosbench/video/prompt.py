"""`Prompt`: what is given for one object at one frame, a mask or a box."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from vosbench.errors import PromptError

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Prompt:
    """A mask or a box for one object. Boxes are (x0, y0, x1, y1) in pixel edges, half open: column c is inside iff
    x0 <= c + 0.5 < x1 (QMRA spec, section 3.9)."""

    object_id: int
    mask: Bool[np.ndarray, "H W"] | None = None
    box: Box | None = None

    def checked(self, height: int, width: int, where: str) -> "Prompt":
        """This prompt, or `PromptError` when it does not fit a frame of that size. `where` names sequence and frame."""
        if not 1 <= self.object_id <= 255:
            raise PromptError(
                f"{where}: object id {self.object_id} is outside 1..255, the range of a label map; choose another id."
            )
        if self.mask is not None and self.mask.shape != (height, width):
            found = "x".join(map(str, self.mask.shape))
            raise PromptError(
                f"{where}: the mask of object {self.object_id} is {found} but the frame is {height}x{width}; "
                "give the mask at the frame's own size."
            )
        if self.box is not None:
            x0, y0, x1, y1 = self.box
            if not (np.isfinite(self.box).all() and x1 > x0 and y1 > y0):
                raise PromptError(
                    f"{where}: the box {list(self.box)} of object {self.object_id} has no area; give [x0, y0, x1, y1] with x0 < x1, y0 < y1."
                )
            if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
                raise PromptError(
                    f"{where}: the box {list(self.box)} of object {self.object_id} lies outside the frame of {width}x{height} pixels; "
                    "boxes are [x0, y0, x1, y1] in pixels of the frame."
                )
        return self


def mask_to_box(mask: Bool[np.ndarray, "H W"]) -> Box | None:
    """Tight box of a mask; None for an empty one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def box_to_mask(box: Box, height: int, width: int) -> Bool[np.ndarray, "H W"]:
    """The pixels whose centre lies in the box; a box that covers no centre sets the pixel that holds its own centre."""
    x0, y0, x1, y1 = box
    columns, rows = np.arange(width) + 0.5, np.arange(height) + 0.5
    mask = ((rows >= y0) & (rows < y1))[:, None] & ((columns >= x0) & (columns < x1))[None]
    if not mask.any():
        row = int(np.clip((y0 + y1) / 2, 0, height - 1))
        column = int(np.clip((x0 + x1) / 2, 0, width - 1))
        mask[row, column] = True
    return mask
