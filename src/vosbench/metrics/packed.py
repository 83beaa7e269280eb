"""Masks as bits, 64 pixels to a word: areas, boundaries and dilation by a disk in few word operations, all exact.

A pixel of column x is bit x % 64 of word x // 64 of its row. Arrays are annotated with plain numpy: see `vosbench.video.png`.
"""

from functools import lru_cache
from math import isqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

WORD = 64
Words = npt.NDArray[np.uint64]


class PairPacker:
    """Holds the label maps of ground truth and prediction of one frame and packs one object of both at a time."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        padded = -(-width // WORD) * WORD
        self._labels = np.zeros((2, height, padded), np.uint8)  # columns from `width` on stay 0, which is no object
        self._hits = np.empty_like(self._labels, dtype=np.bool_)

    def load(self, ground_truth: npt.NDArray[np.generic], prediction: npt.NDArray[np.generic]) -> None:
        """Take the next frame: label maps of uint8, or masks of bool."""
        self._labels[0, :, : self.width] = ground_truth
        self._labels[1, :, : self.width] = prediction

    def load_binary(self, ground_truth: npt.NDArray[np.generic], prediction: npt.NDArray[np.generic]) -> None:
        """Take the next frame with every label above 0 as object 1."""
        np.not_equal(ground_truth, 0, out=self._labels[0, :, : self.width].view(np.bool_))
        np.not_equal(prediction, 0, out=self._labels[1, :, : self.width].view(np.bool_))

    def pack(self, object_id: int) -> Words:
        """Masks (2, H, words) of an object, id from 1 on: ground truth, then prediction."""
        np.equal(self._labels, object_id, out=self._hits)
        return np.packbits(self._hits.reshape(-1), bitorder="little").view("<u8").reshape(2, self.height, -1)


class Counts(NamedTuple):
    """All that J and F of one object in one frame are made of."""

    intersection: int  # pixels in both masks
    union: int  # pixels in either mask
    boundary: tuple[int, int] = (0, 0)  # boundary pixels of ground truth, prediction
    matched: tuple[int, int] = (0, 0)  # those with a boundary pixel of the other side within the radius


def count_pair(masks: Words, width: int, radius: int) -> Counts:
    """Compare two packed masks (2, H, words) of a frame `width` pixels wide."""
    radius = min(radius, masks.shape[1] + width)  # beyond the frame's diagonal a larger one changes nothing
    cropped = _cropped(masks, width, radius)
    if cropped is None:
        return Counts(0, 0)
    pair, has_east = cropped
    intersection, union = ones(pair[0] & pair[1]), ones(pair[0] | pair[1])
    outline = boundary(pair, has_east)
    lengths = ones(outline[0]), ones(outline[1])
    if 0 in lengths:
        return Counts(intersection, union, lengths)
    near = dilated(outline, radius)
    return Counts(intersection, union, lengths, (ones(outline[0] & near[1]), ones(outline[1] & near[0])))


def ones(words: Words) -> int:
    """How many bits are set."""
    return int(np.add.reduce(np.bitwise_count(words), axis=None, dtype=np.uint32))


def _cropped(masks: Words, width: int, radius: int) -> tuple[Words, Words] | None:
    """The part that holds all mask and boundary pixels, and which of its columns have an eastern neighbour; None if empty.

    One row above, one below and one word to the left belong to it, since the boundary lies north-west of the mask. Behind each
    row stand zero words for at least `radius` bits: what dilation moves past the end of a row cannot reach the next one. Further
    margin is not needed: a dilation is only looked at where the other side has boundary.
    """
    either = masks[0] | masks[1]
    rows = np.flatnonzero(np.bitwise_or.reduce(either, axis=1))
    if rows.size == 0:
        return None
    top, bottom = max(int(rows[0]) - 1, 0), int(rows[-1]) + 2
    columns = np.flatnonzero(np.bitwise_or.reduce(either[top:bottom], axis=0))
    left, right = max(int(columns[0]) - 1, 0), int(columns[-1]) + 1
    part = masks[:, top:bottom, left:right]
    pair = np.zeros((2, part.shape[1], part.shape[2] - (-radius // WORD)), np.uint64)
    pair[:, :, : part.shape[2]] = part
    has_east = np.zeros(pair.shape[2], np.uint64)
    has_east[: part.shape[2]] = _columns_with_east(width)[left:right]
    return pair, has_east


@lru_cache(maxsize=16)
def _columns_with_east(width: int) -> Words:
    """Row of words with a one in every column but the last."""
    bits = np.zeros(-(-width // WORD) * WORD, np.bool_)
    bits[: width - 1] = True
    return np.packbits(bits, bitorder="little").view("<u8").astype(np.uint64)


def boundary(masks: Words, has_east: Words) -> Words:
    """Pixels that differ from their neighbour in the east, south or south-east (evaluation spec, section 2.2).

    In the last column only south counts and in the last row only east, as if both were repeated once. When the array is cut out
    of a larger frame, its last row must equal the row below it.
    """
    flat = masks.reshape(-1)
    east: Words = np.right_shift(flat, 1)
    east[:-1] |= flat[1:] << (WORD - 1)
    east = east.reshape(masks.shape)
    result: Words = masks ^ east
    result[:, :-1] |= masks[:, :-1] ^ east[:, 1:]
    result &= has_east  # also clears what the shift carried from the next row into the padding
    result[:, :-1] |= masks[:, :-1] ^ masks[:, 1:]
    return result


def dilated(masks: Words, radius: int) -> Words:
    """Every pixel within Euclidean distance `radius` of a set one, as far as it lies in the array.

    Rows must end in at least `radius` zero bits, which hold nothing meaningful afterwards. The disk is built row by row: at
    distance d from its middle it is 2 w(d) + 1 wide. Starting with w(radius), the result so far moves one row up and down and
    takes in the copy grown by the next w(d), down to d = 0. This is exact because w falls with d.
    """
    widths = half_widths(radius)
    copies, grown, reached = {}, masks.reshape(-1), 0
    for width in sorted(set(widths)):
        while reached < width:
            step = min(width - reached, 2 * reached + 1, WORD - 1)  # a wider step would leave holes
            grown, reached = _spread(grown, step), reached + step
        copies[width] = grown.reshape(masks.shape)
    result = copies[widths[radius]]
    for distance in range(radius - 1, -1, -1):
        wider = copies[widths[distance]].copy()
        wider[:, 1:] |= result[:, :-1]
        wider[:, :-1] |= result[:, 1:]
        result = wider
    return result


@lru_cache(maxsize=64)
def half_widths(radius: int) -> tuple[int, ...]:
    """Half the width of the disk at 0..radius rows from its middle: the largest w with w^2 + d^2 <= radius^2."""
    return tuple(isqrt(radius * radius - distance * distance) for distance in range(radius + 1))


def _spread(flat: Words, step: int) -> Words:
    """Each set bit also `step` columns to the left and to the right."""
    result: Words = flat | np.left_shift(flat, step)
    result |= flat >> step
    result[1:] |= flat[:-1] >> (WORD - step)
    result[:-1] |= flat[1:] << (WORD - step)
    return result
