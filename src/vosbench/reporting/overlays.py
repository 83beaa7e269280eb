"""Masks made visible: overlays on frames and contact sheets of several sequences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from vosbench.video.palette import voc_palette
from vosbench.video.prompt import Box

_PALETTE = voc_palette()
# Lifted half-way to white: the palette's dark entries would vanish as a line on a dark frame.
_LINE_COLOURS = (128 + _PALETTE // 2).astype(np.uint8)
_CAPTION = 20  # height of a caption line of a contact sheet, in pixels
_GAP = 4  # between the cells, in pixels
_PAPER, _INK = 24, (235, 235, 235)  # gray level of a sheet, colour of its text


def overlay(
    image: UInt8[np.ndarray, "H W 3"],
    label_map: UInt8[np.ndarray, "H W"],
    alpha: float = 0.5,
    boxes: Mapping[int, Box | None] | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """The image with every object tinted in its palette colour and drawn round with a thin line inside its border.

    Pixels of the background (label 0) are returned unchanged, but for the lines of `boxes`, given by object id. `alpha` is the
    share of colour in the tint, 0 to 1.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie in [0, 1], got {alpha}: it is the share of the object's colour")
    # No loop over the objects: where the largest and the smallest label of a neighbourhood differ, a border runs. One
    # pixel on each side of it keeps 44 objects apart at 480 rows without hiding the small ones.
    reach = 1 + min(label_map.shape) // 720
    neighbours = cv2.getStructuringElement(cv2.MORPH_CROSS, (2 * reach + 1, 2 * reach + 1))
    is_flat = cv2.compare(cv2.dilate(label_map, neighbours), cv2.erode(label_map, neighbours), cv2.CMP_EQ)
    labels = cv2.merge((label_map, label_map, label_map))  # OpenCV's table look-up is far quicker than numpy's indexing
    tinted = cv2.addWeighted(image, 1 - alpha, cv2.LUT(labels, _PALETTE[None]), alpha, 0.0)
    shown = cv2.copyTo(tinted, is_flat, cv2.LUT(labels, _LINE_COLOURS[None]))
    shown = cv2.copyTo(image, (label_map == 0).astype(np.uint8), shown)
    for object_id, box in (boxes or {}).items():
        if box is not None:
            x0, y0, x1, y1 = (round(edge) for edge in box)
            colour = tuple(int(share) for share in _LINE_COLOURS[object_id])
            cv2.rectangle(shown, (x0, y0), (x1 - 1, y1 - 1), colour, 1 + min(label_map.shape) // 720)
    return shown


@dataclass(frozen=True)
class SheetFrame:
    """One cell of a contact sheet."""

    name: str  # of the frame
    image: UInt8[np.ndarray, "H W 3"]  # as it is to be shown, e.g. an overlay
    jf: float | None = None  # in [0, 1]


def evenly_chosen(count: int, wanted: int) -> list[int]:
    """Up to `wanted` indices out of 0..count-1, evenly spread, the first and the last among them."""
    if count <= wanted:
        return list(range(count))
    return [int(index) for index in np.linspace(0, count - 1, wanted).round()]


def contact_sheet(
    rows: Mapping[str, Sequence[SheetFrame]], columns: int = 6, cell_height: int = 160
) -> UInt8[np.ndarray, "H W 3"]:
    """One row for each sequence, evenly chosen frames as columns, captions above them: sequence, frame, J&F in percent."""
    strips = [_strip(sequence, frames, columns, cell_height) for sequence, frames in rows.items() if len(frames)]
    if not strips:
        raise ValueError("a contact sheet needs at least one frame")
    width = max(strip.shape[1] for strip in strips)
    return np.concatenate(
        [np.pad(strip, ((0, _GAP), (0, width - strip.shape[1]), (0, 0)), constant_values=_PAPER) for strip in strips]
    )


def _strip(sequence: str, frames: Sequence[SheetFrame], columns: int, cell_height: int) -> UInt8[np.ndarray, "h w 3"]:
    chosen = [frames[index] for index in evenly_chosen(len(frames), columns)]
    cells = []
    for number, frame in enumerate(chosen):
        height, width = frame.image.shape[:2]
        size = (max(1, round(width * cell_height / height)), cell_height)
        picture = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA if cell_height < height else cv2.INTER_LINEAR)
        words = [sequence] * (number == 0) + [frame.name] + ([] if frame.jf is None else [f"{100 * frame.jf:.1f}"])
        cell = np.concatenate([_caption("  ".join(words), size[0]), picture])
        cells.append(np.pad(cell, ((0, 0), (0, _GAP), (0, 0)), constant_values=_PAPER))
    return np.concatenate(cells, axis=1)


def _caption(text: str, width: int) -> UInt8[np.ndarray, "h w 3"]:
    """One line of text, shrunk where the cell is narrow. Letters beyond ASCII become '?': OpenCV's font has no others."""
    line = np.full((_CAPTION, width, 3), _PAPER, np.uint8)
    plain = text.encode("ascii", "replace").decode()
    scale = 0.42
    (needed, _), _ = cv2.getTextSize(plain, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    scale *= min(1.0, (width - 4) / max(needed, 1))
    return cv2.putText(line, plain, (2, _CAPTION - 6), cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)
