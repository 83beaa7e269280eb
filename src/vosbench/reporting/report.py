"""`report.html` of a run folder: one file that opens without a server and without a network."""

import json
import shlex
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from vosbench.reporting.markup import Markup, element, joined
from vosbench.reporting.published import published
from vosbench.reporting.report_scores import attribute_section, highlights, result_section, sequence_charts, sequence_table, tiles
from vosbench.reporting.report_training import training_curves
from vosbench.reporting.run_contents import RunContents, read_run
from vosbench.reporting.tables import result_table
from vosbench.reporting.written_beside import write_text

# The browser itself then refuses whatever is not inside the file.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def write_report(folder: Path) -> Path:
    """Read a run folder and write its report.html; returns the path. `RunError` where the folder cannot be read."""
    return write_text(folder / "report.html", report_page(read_run(folder)))


def report_page(run: RunContents) -> str:
    """The page as HTML. Sections for which the folder holds nothing are left out."""
    sections = [(title, content) for title, content in _sections(run) if content]
    links = [element("a", title, href=f"#{_anchor(title)}") for title, _ in sections]
    title = f"{run.method} on {run.dataset}" if run.dataset else run.method
    body = joined(
        element("h1", title),
        element("p", f"Run folder: {run.folder}", class_="quiet"),
        tiles(run) if run.scores else element("p", "This run has no scores.json: it was not evaluated.", class_="quiet"),
        element("nav", *links),
        *(element("section", element("h2", title), content, id=_anchor(title)) for title, content in sections),
        element("script", Markup(_packaged("report.js"))),
    )
    head = joined(
        element("meta", charset="utf-8"),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"/>'),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup(_packaged("report.css"))),
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def _sections(run: RunContents) -> list[tuple[str, Markup | None]]:
    scored: list[tuple[str, Markup | None]] = []
    if run.scores:
        scored = [
            ("Result", result_section(run, run.scores)),
            ("Worst and best sequences", highlights(run, run.scores)),
            ("Sequences", sequence_table(run.scores)),
            ("Attributes", attribute_section(run, run.scores)),
            ("Frame by frame", sequence_charts(run, run.scores)),
        ]
    return [
        *scored,
        ("Training", training_curves(run.curves)),
        ("Published methods", _published_methods(run)),
        ("Repeat this run", _command(run)),
        ("Configuration", element("pre", run.configuration) if run.configuration else None),
        ("Environment", _environment(run.environment)),
    ]


def _published_methods(run: RunContents) -> Markup | None:
    """Every published row for this benchmark, the paper's competitors among them."""
    rows = published(run.dataset)
    if not rows or not run.scores:
        return None
    table = result_table(run.method, run.scores, dataset=run.dataset, baselines=True)
    heads = [element("th", head) for head in ("method", *table.columns, "s/frame", "source")]
    body = [
        element("tr", *(element("td", cell) for cell in (row.name, *row.cells(), row.source)), class_="published")
        for row in table.rows
        if row.kind == "published"
    ]
    whole = element("table", element("thead", element("tr", *heads)), element("tbody", *body))
    return element(
        "details", element("summary", f"{len(body)} rows as printed in the papers"), element("div", whole, class_="wide")
    )


def _command(run: RunContents) -> Markup | None:
    if run.configuration is None:
        return None
    command = run.environment.get("command")
    if isinstance(command, list):
        command = shlex.join(map(str, command))
    again = command or f"python -m vosbench.tasks.job {shlex.quote(str(run.folder))}"
    told = "The command that started it:" if command else "From this folder's config.yaml:"
    return joined(element("p", told, class_="quiet"), element("pre", str(again)))


def _environment(environment: Mapping[str, Any]) -> Markup | None:
    if not environment:
        return None
    rows = [element("tr", element("td", name), element("td", value)) for name, value in _flat(environment)]
    return element("div", element("table", element("tbody", *rows), class_="facts"), class_="wide")


def _flat(nested: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Nested facts as (dotted name, text)."""
    found: list[tuple[str, str]] = []
    for name, value in nested.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{above}{name}.")
        else:
            found.append((f"{above}{name}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
    return found


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _packaged(name: str) -> str:
    return resources.files("vosbench.reporting").joinpath(name).read_text(encoding="utf-8")
