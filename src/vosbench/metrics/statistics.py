"""What becomes of an object's per-frame values: mean, recall, decay, standard deviation (evaluation spec, section 3).

Sums are `math.fsum`, correctly rounded: neither their order nor the platform changes a digit.
"""

from collections.abc import Sequence
from math import fsum, isnan, nan, sqrt

RECALL_ABOVE = 0.5
DECAY_BINS = 4


def mean(values: Sequence[float]) -> float:
    """Plain mean; NaN values are left out."""
    _check(values)
    kept = [value for value in values if not isnan(value)]
    return fsum(kept) / len(kept) if kept else nan


def recall(values: Sequence[float]) -> float:
    """Share of the values strictly above 0.5; NaN is not above."""
    _check(values)
    return sum(value > RECALL_ABOVE for value in values) / len(values)


def decay(values: Sequence[float]) -> float:
    """Mean of the first quarter of the values minus mean of the last; positive when the result gets worse.

    Neighbouring quarters share a frame. Deviation: the DAVIS toolkit keeps the edges in 8 bits and is wrong from 256 values on.
    """
    _check(values)
    edges = decay_edges(len(values))
    return mean(values[edges[0] : edges[1] + 1]) - mean(values[edges[-2] : edges[-1] + 1])


def decay_edges(count: int) -> list[int]:
    """The frames where quarters begin and end: ``1 + k (n - 1) / 4`` rounded half up, counted from 0."""
    return [(k * (count - 1) + DECAY_BINS // 2) // DECAY_BINS for k in range(DECAY_BINS + 1)]


def variance(values: Sequence[float]) -> float:
    """Population variance; NaN values are left out."""
    middle = mean(values)
    return mean([(value - middle) ** 2 for value in values])


def std(values: Sequence[float]) -> float:
    """Population standard deviation; NaN values are left out."""
    return sqrt(variance(values))


def _check(values: Sequence[float]) -> None:
    if not values:
        raise ValueError("statistics need at least one value, got none: the object has no scored frame")
