"""Charts and the escaping of HTML."""

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vosbench.reporting.charts import Line, line_chart, ticks
from vosbench.reporting.markup import element, joined


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 100.0, [0.0, 50.0, 100.0]),
        (0.0, 1.0, [0.0, 0.5, 1.0]),
        (-0.3, 0.5, [-0.2, 0.0, 0.2, 0.4]),
        (1000.0, 9000.0, [2000.0, 4000.0, 6000.0, 8000.0]),
    ],
)
def test_ticks_are_round_numbers(low, high, expected):
    assert ticks(low, high) == expected


@given(values=st.lists(st.none() | st.floats(), min_size=1, max_size=12))
def test_any_numbers_make_well_formed_svg(values):
    chart = line_chart([Line("a<b", [float(index) for index in range(len(values))], values)], "step")

    ElementTree.fromstring(chart)
    assert "nan" not in chart
    assert "inf" not in chart


def test_a_line_goes_through_its_points_and_breaks_at_a_gap():
    chart = line_chart([Line("J", [0.0, 1.0, 2.0, 3.0], [0.0, 100.0, None, 50.0])], "frame", (0.0, 100.0))

    # the drawing is 480 x 190 with margins of 52, 10, 10 and 36: x = 52 + 418 t / 3, y = 154 - 144 v / 100
    assert re.search(r'<path d="([^"]*)"', chart)[1] == "M52 154L191.3 10M470 82h0"


def test_a_long_curve_is_averaged_before_it_is_drawn():
    chart = line_chart([Line("loss", [float(step) for step in range(4000)], [1.0] * 4000)], "step")

    assert 300 < len(re.findall(r"[ML]", re.search(r'<path d="([^"]*)"', chart)[1])) <= 400


def test_a_curve_without_a_finite_value_says_so():
    assert line_chart([Line("loss", [0.0], [math.nan])], "step") == '<p class="quiet">No finite values.</p>'


def test_plain_text_is_escaped_and_markup_is_not():
    inner = element("b", "a<b")

    assert element("p", "x & y ", inner, title='"') == '<p title="&quot;">x &amp; y <b>a&lt;b</b></p>'
    assert joined("<", None, 3, inner) == "&lt;3<b>a&lt;b</b>"


def test_attributes_of_none_and_false_are_left_out():
    assert element("img", alt="x", hidden=False, class_=None, data_value=0) == '<img alt="x" data-value="0"/>'
