"""The report's part on training: one chart for each curve of metrics.csv."""

from collections.abc import Mapping, Sequence

from vosbench.reporting.charts import Line, line_chart
from vosbench.reporting.markup import Markup, element


def training_curves(curves: Mapping[str, Sequence[Line]]) -> Markup | None:
    """Charts of all curves, validation first, then training, then the rest (learning rate, throughput)."""
    if not curves:
        return None
    rank = {"val": 0, "train": 1}
    ordered = sorted(curves, key=lambda name: (rank.get(name.partition("/")[0], 2), name))
    cards = [element("div", element("h3", name), line_chart(curves[name], "step"), class_="card") for name in ordered]
    return element("div", *cards, class_="pair")
