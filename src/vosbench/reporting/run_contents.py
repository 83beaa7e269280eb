"""What lies in a run folder, read for the report; every file of it may be missing, none may be damaged."""

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from vosbench.errors import RunError
from vosbench.reporting.charts import Line

_IMAGES = {".png", ".jpg", ".jpeg"}


@dataclass
class RunContents:
    """A run folder in memory; overlays stay on disk."""

    folder: Path
    method: str
    dataset: str | None = None  # "davis17/val"
    scores: dict[str, Any] | None = None
    floors: dict[str, dict[str, Any]] = field(default_factory=dict)
    attributes: dict[str, dict[str, list[str]]] = field(default_factory=dict)  # sequence -> object id -> attributes
    curves: dict[str, list[Line]] = field(default_factory=dict)  # "train/loss" -> one line for each stage
    overlays: dict[str, list[Path]] = field(default_factory=dict)  # sequence -> images
    configuration: str | None = None  # text of config.yaml
    environment: dict[str, Any] = field(default_factory=dict)


def read_run(folder: Path) -> RunContents:
    """Read a run folder. `RunError` where it is none, or where a file of it is damaged."""
    known = ("scores.json", "metrics.csv", "config.yaml")
    if not any((folder / name).is_file() for name in known):
        raise RunError(
            f"{folder}: found none of {', '.join(known)}; give the folder of a run, such as runs/<method>/<date-time>."
        )
    scores = _read_json(folder / "scores.json", ("protocol", "overall", "sequences"))
    config_file = folder / "config.yaml"
    text = config_file.read_text(encoding="utf-8") if config_file.is_file() else None
    config = _read_config(config_file) if text is not None else {}
    floors = {path.stem: _read_json(path, ("overall",)) or {} for path in sorted(folder.glob("floors/*.json"))}
    return RunContents(
        folder=folder,
        method=_method_name(folder, scores or {}, config),
        dataset=(scores or {}).get("dataset"),
        scores=scores,
        floors=floors,
        attributes=_read_json(folder / "attributes.json") or {},
        curves=read_curves(folder / "metrics.csv"),
        overlays=_overlays(folder / "overlays", list((scores or {}).get("sequences", {}))),
        configuration=text,
        environment=_read_json(folder / "environment.json") or {},
    )


def _read_json(path: Path, needed: tuple[str, ...] = ()) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is no JSON ({error}); repeat the task that writes it, or remove the file.") from error
    if not isinstance(content, dict) or not all(key in content for key in needed):
        raise RunError(f"{path} lacks one of the keys {', '.join(needed)}; repeat the task that writes it, or remove the file.")
    return content


def _read_config(path: Path) -> Mapping[str, Any]:
    # OmegaConf, because it wrote the file: plain YAML readers take 1e-4 for a string.
    try:
        content = OmegaConf.to_container(OmegaConf.load(path))
    except Exception as error:  # whatever the YAML reader raises; its classes are not part of OmegaConf's interface
        first_line = (str(error) or type(error).__name__).splitlines()[0]
        raise RunError(f"{path} is no readable YAML ({first_line}); restore the file that the run wrote.") from error
    return {str(key): value for key, value in content.items()} if isinstance(content, dict) else {}


def _method_name(folder: Path, scores: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """As scores.json or the configuration tells it, else the folder above: runs are runs/<method>/<date-time>."""
    named = scores.get("method") or config.get("method_name")
    return str(named) if named else folder.resolve().parent.name


def read_curves(path: Path) -> dict[str, list[Line]]:
    """Curves of a metrics.csv by name, one line for each stage; columns are "step", "stage" and names.

    A stage whose steps begin anew is set behind the one before it. Cells may be empty.
    """
    if not path.is_file():
        return {}
    points: dict[str, dict[str, list[tuple[float, float]]]] = {}
    offset = highest = 0.0
    stage = last_stage = None
    with path.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            stage = row.pop("stage", None) or ""
            try:
                own_step = float(row.pop("step", "") or "nan")
                cells = {name: float(cell) for name, cell in row.items() if cell and name and name != "epoch"}
            except (TypeError, ValueError) as error:
                raise RunError(f"{path}, line {number}: {error}; every cell but 'stage' is a number.") from error
            if not math.isfinite(own_step):
                raise RunError(f"{path}, line {number}: the column 'step' is empty or missing; every line needs its step.")
            if last_stage is not None and stage != last_stage:
                offset = highest if own_step + offset < highest else offset
            last_stage, highest = stage, max(highest, own_step + offset)
            for name, value in cells.items():
                points.setdefault(name, {}).setdefault(stage, []).append((own_step + offset, value))
    return {name: [_line(stage or name, found) for stage, found in stages.items()] for name, stages in points.items()}


def _line(name: str, points: list[tuple[float, float]]) -> Line:
    ordered = sorted(points)
    return Line(name, [x for x, _ in ordered], [y for _, y in ordered])


def _overlays(folder: Path, sequences: list[str]) -> dict[str, list[Path]]:
    """Images by sequence: <sequence>.jpg, or <sequence>_<anything>.jpg; the longest name that fits owns the image."""
    found: dict[str, list[Path]] = {}
    longest_first = sorted(sequences, key=len, reverse=True)
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        if path.suffix.lower() in _IMAGES:
            owner = next((name for name in longest_first if path.stem == name or path.stem.startswith(f"{name}_")), None)
            if owner is not None:
                found.setdefault(owner, []).append(path)
    return found
