"""Mean, recall, decay and spread of per-frame values."""

from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.metrics.drawn import GOLDENS, TOLERANCE, golden
from tests.shared import needs_shared
from vosbench.metrics.statistics import decay, decay_edges, mean, recall, std


def by_rule(count: int) -> list[float]:
    """The goldens' values, as their rule is written there."""
    return [0.5 if index % 17 == 0 else min(1, ((11 * 13 + index * 37) % 101) / 100) for index in range(count)]


@needs_shared(GOLDENS)
@pytest.mark.parametrize("place", range(20))
def test_statistics_match_the_golden(place):
    case = golden()["statistics"][place]
    values = [float(value) for value in by_rule(case["n"])]

    assert decay_edges(case["n"]) == case["bin_edges"]
    assert mean(values) == pytest.approx(case["mean"], abs=TOLERANCE)
    assert recall(values) == pytest.approx(case["recall"], abs=TOLERANCE)
    assert decay(values) == pytest.approx(case["decay"], abs=TOLERANCE)


@given(value=st.floats(0, 1), count=st.integers(1, 1000))
def test_decay_of_a_constant_is_zero(value, count):
    assert decay([value] * count) == pytest.approx(0.0, abs=TOLERANCE)


@given(count=st.integers(2, 1000))
def test_decay_of_a_rising_line_is_negative_and_finite(count):
    assert -1 <= decay([index / count for index in range(count)]) < 0


def test_recall_counts_values_strictly_above_a_half():
    assert recall([0.5, 0.5000001, 1.0, 0.0]) == 0.5


def test_nan_is_left_out_of_the_mean_and_is_not_above_a_half():
    assert mean([nan, 0.25, 0.75]) == 0.5
    assert recall([nan, 0.25, 0.75, 1.0]) == 0.5
    assert decay([0.75, nan, nan, 0.25]) == 0.5


def test_spread_is_that_of_the_whole_population():
    assert std([1.0, 3.0]) == 1.0


def test_no_values_are_refused():
    with pytest.raises(ValueError, match="at least one value"):
        mean([])
