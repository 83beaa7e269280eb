"""Line charts as inline SVG; colours and fonts come from the page's style sheet."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vosbench.reporting.markup import Markup, element, joined

_WIDTH, _HEIGHT = 480, 190  # of the drawing, in its own units; the page scales it
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 10, 36  # room for the labels of the axes
_MOST_POINTS = 400  # of one line; more are averaged, they could not be told apart


@dataclass(frozen=True)
class Line:
    """One curve; None and numbers that are not finite break it."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]


def line_chart(
    lines: Sequence[Line],
    x_label: str,
    y_range: tuple[float, float] | None = None,
    x_names: Sequence[str] | None = None,
) -> Markup:
    """A chart of up to six lines with its legend; `x_names` labels x = 0, 1, 2, ..., e.g. with the names of frames."""
    thinned = [_thinned(line) for line in lines]
    xs = [x for line in thinned for x in line.x]
    ys = [y for line in thinned for y in line.y if y is not None and math.isfinite(y)]
    if not ys:
        return element("p", "No finite values.", class_="quiet")
    x_low, x_high = _apart(min(xs), max(xs))
    y_low, y_high = y_range or _apart(min(ys), max(ys))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / (x_high - x_low)
        up = min(max((y - y_low) / (y_high - y_low), 0.0), 1.0)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    parts = [_y_tick(place(x_low, tick)[1], tick) for tick in ticks(y_low, y_high)]
    for tick in ticks(x_low, x_high, 6):
        if x_names is None or (tick == round(tick) and 0 <= tick < len(x_names)):
            name = _number(tick) if x_names is None else x_names[int(tick)]
            # Not nearer to the edge than half a label, or the drawing would cut it off.
            middle = min(place(tick, y_low)[0], _WIDTH - 3.5 * len(name))
            parts.append(element("text", name, x=_short(middle), y=_HEIGHT - _BOTTOM + 15, class_="x-tick"))
    parts.append(element("text", x_label, x=_WIDTH - _RIGHT, y=_HEIGHT - 4, class_="axis"))
    for number, line in enumerate(thinned):
        points = [None if y is None or not math.isfinite(y) else place(x, y) for x, y in zip(line.x, line.y, strict=True)]
        parts.append(element("path", d=_drawn(points), class_=f"line line-{number % 6}"))
    title = ", ".join(line.name for line in lines)
    drawing = element("svg", element("title", title), *parts, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", class_="chart")
    keys = [element("span", line.name, class_=f"key key-{number % 6}") for number, line in enumerate(lines)]
    return element("figure", element("figcaption", joined(*keys)), drawing)


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) between low and high, about as many as wanted."""
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(count * step, 12) for count in range(first, last + 1)]


def _thinned(line: Line) -> Line:
    """Means of neighbouring points where there are too many to draw."""
    size = math.ceil(len(line.x) / _MOST_POINTS)
    if size <= 1:
        return line
    x: list[float] = []
    y: list[float | None] = []
    for start in range(0, len(line.x), size):
        known = [value for value in line.y[start : start + size] if value is not None and math.isfinite(value)]
        x.append(line.x[min(start + size // 2, len(line.x) - 1)])
        y.append(sum(known) / len(known) if known else None)
    return Line(line.name, x, y)


def _apart(low: float, high: float) -> tuple[float, float]:
    """A range that is not empty."""
    return (low, high) if high > low else (low - max(abs(low), 1.0) / 2, high + max(abs(high), 1.0) / 2)


def _y_tick(height: float, value: float) -> Markup:
    rule = element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=_short(height), y2=_short(height), class_="rule")
    return joined(rule, element("text", _number(value), x=_LEFT - 6, y=_short(height + 4), class_="y-tick"))


def _drawn(points: Sequence[tuple[float, float] | None]) -> str:
    """The path of a line; a point alone between two gaps becomes a dot (a stroke of no length with round ends)."""
    words = []
    pen_down = False
    for index, point in enumerate(points):
        if point is None:
            pen_down = False
            continue
        words.append(f"{'L' if pen_down else 'M'}{_short(point[0])} {_short(point[1])}")
        is_alone = not pen_down and (index + 1 == len(points) or points[index + 1] is None)
        words += ["h0"] * is_alone
        pen_down = True
    return "".join(words)


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
