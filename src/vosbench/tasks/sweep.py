"""A sweep: a folder of job folders, and the table that tells what became of each.

A job's folder is named by its overrides, so the same command finds what is done and runs the rest.
"""

import hashlib
import math
import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vosbench.configuration.comparison import changes
from vosbench.errors import ConfigError
from vosbench.metrics.summary import mean_by_attribute
from vosbench.tasks.run_folder import (
    CONFIG,
    ENVIRONMENT,
    Status,
    environment,
    read_config,
    read_json,
    read_status,
    write_atomically,
    write_config,
    write_json,
    write_status,
)

LONGEST_NAME = 120  # characters; file systems take 255 bytes
SCORES = ("J", "F", "J&F")
SCORES_FILE, ATTRIBUTES = "scores.json", "attributes.json"  # of a job's folder


@dataclass(frozen=True)
class Job:
    """One job of a sweep, as its folder tells."""

    folder: Path
    overrides: list[str]
    status: Status

    def named(self, without: str = "") -> str:
        """Its overrides in one line, one key left out."""
        return " ".join(text for text in self.overrides if text.lstrip("+").split("=")[0] != without)


def job_name(overrides: Sequence[str]) -> str:
    """Folder name of a job: its overrides in the order of their keys, as far as a file name can hold them."""
    name = ",".join(sorted(text.lstrip("+") for text in overrides)) or "default"
    plain = re.sub(r"[^A-Za-z0-9_.,=@~+-]", "_", name)
    if plain == name and len(plain) <= LONGEST_NAME:
        return name
    return f"{plain[: LONGEST_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def prepare_job(sweep_dir: Path, overrides: Sequence[str], config: dict[str, Any], flags: Sequence[str] = ()) -> Path:
    """The folder of one job, queued. One that stands there already keeps its state and must hold the same configuration."""
    folder = sweep_dir / job_name(overrides)
    folder.mkdir(parents=True, exist_ok=True)
    config = config | {"out": str(folder)}
    if (folder / CONFIG).exists():
        other = [change for change in changes(read_config(folder), config) if not change.allowed]
        if other:
            listed = "\n".join(map(str, other))
            raise ConfigError(f"{folder} was run with another configuration; choose another sweep folder.\n{listed}")
        return folder
    write_status(folder, Status("queued", created=time.time()))
    write_json(folder / ENVIRONMENT, environment(overrides, flags))
    write_config(folder, config)
    return folder


def is_done(folder: Path) -> bool:
    """Whether the job of a folder has ended well."""
    status = read_status(folder)
    return status is not None and status.state == "done"


def jobs(sweep_dir: Path) -> list[Job]:
    """The jobs of a sweep folder in the order in which they were queued."""
    found = []
    for folder in sweep_dir.iterdir():
        status = read_status(folder) if folder.is_dir() else None
        if status is not None:
            found.append(Job(folder, list((read_json(folder / ENVIRONMENT) or {}).get("overrides", [folder.name])), status))
    return sorted(found, key=lambda job: (job.status.created, job.folder.name))


def conclude(sweep_dir: Path) -> str:
    """Write sweep.json and sweep.md, and return the tables as text."""
    all_jobs, shared = without_shared(jobs(sweep_dir))
    rows = [_row(job) for job in all_jobs]
    seeds = over_seeds(all_jobs)
    attributes = over_attributes(all_jobs)
    write_json(
        sweep_dir / "sweep.json",
        {
            "shared": shared,
            "jobs": [
                row | {"folder": job.folder.name, "error": job.status.error} for row, job in zip(rows, all_jobs, strict=True)
            ],
        }
        | ({"over_seeds": seeds} if seeds else {})
        | ({"over_attributes": attributes} if attributes else {}),
    )
    header = ["job", "status", *SCORES, "seconds"]
    table = [[_shown(row[column], column) for column in header] for row in rows]
    tables = [(header, table)]
    if seeds:
        tables.append((["over seeds", "seeds", *SCORES], [_seed_cells(entry) for entry in seeds]))
    if attributes:
        tables.append(_attribute_table(attributes))
    errors = [f"{job.named()}: {job.status.error}" for job in all_jobs if job.status.error]
    title = [f"All jobs: {' '.join(shared)}"] if shared else []
    write_atomically(sweep_dir / "sweep.md", "\n\n".join([*title, *(_markdown(*each) for each in tables), *errors]) + "\n")
    return "\n\n".join([*title, *(_aligned(*each) for each in tables), *errors])


def without_shared(all_jobs: list[Job]) -> tuple[list[Job], list[str]]:
    """The jobs with only those overrides that tell them apart, and the ones that all of them have."""
    if len(all_jobs) < 2:
        return all_jobs, []
    shared = [text for text in all_jobs[0].overrides if all(text in job.overrides for job in all_jobs)]
    return [replace(job, overrides=[text for text in job.overrides if text not in shared]) for job in all_jobs], shared


def compositions(all_jobs: Sequence[Job]) -> dict[str, list[Job]]:
    """The scored jobs that differ in nothing but their seed, by the overrides that they share."""
    groups: dict[str, list[Job]] = {}
    for job in all_jobs:
        if job.status.scores:
            groups.setdefault(job.named(without="seed") or "all", []).append(job)
    return groups


def over_seeds(all_jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Mean and sample standard deviation of each score over the seeds of one composition; empty when no seed is swept."""
    entries = []
    for name, members in compositions(all_jobs).items():
        if len(members) > 1:
            entry: dict[str, Any] = {"job": name, "seeds": len(members)}
            for score in SCORES:
                values = [job.status.scores[score] for job in members if job.status.scores and score in job.status.scores]
                if len(values) == len(members):
                    entry[score] = {"mean": statistics.fmean(values), "std": statistics.stdev(values)}
            entries.append(entry)
    return entries


def over_attributes(all_jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """J&F of the objects with an attribute ("small", say), its mean over the seeds of one composition, and how many objects
    there are; empty where the data set tells of none."""
    entries = []
    for name, members in compositions(all_jobs).items():
        means = [
            mean_by_attribute(read_json(job.folder / SCORES_FILE) or {"sequences": {}}, read_json(job.folder / ATTRIBUTES) or {})
            for job in members
        ]
        known = sorted(set.intersection(*(set(found) for found in means)))
        if known:
            attributes = {
                attribute: {
                    "J&F": statistics.fmean(found[attribute]["J&F"] for found in means),
                    "objects": means[0][attribute]["objects"],
                }
                for attribute in known
            }
            entries.append({"job": name, "seeds": len(members), "attributes": attributes})
    return entries


def _attribute_table(entries: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """J&F by attribute: a column each, with the number of objects in its head."""
    objects = {name: found["objects"] for entry in entries for name, found in entry["attributes"].items()}
    header = ["J&F by attribute", *(f"{name} ({count})" for name, count in sorted(objects.items()))]
    rows = []
    for entry in entries:
        cells = [entry["attributes"].get(name) for name in sorted(objects)]
        rows.append([entry["job"], *("-" if cell is None else f"{100 * cell['J&F']:.1f}" for cell in cells)])
    return header, rows


def _row(job: Job) -> dict[str, Any]:
    scores = job.status.scores or {}
    row = {"job": job.named() or job.folder.name, "status": job.status.state, "seconds": job.status.seconds}
    return row | {name: scores.get(name) for name in SCORES}


def _shown(value: Any, column: str) -> str:
    """A cell: scores in percent."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    if column in SCORES:
        return f"{100 * value:.1f}"
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def _seed_cells(entry: dict[str, Any]) -> list[str]:
    cells = [f"{100 * entry[score]['mean']:.1f} ± {100 * entry[score]['std']:.1f}" if score in entry else "-" for score in SCORES]
    return [entry["job"], str(entry["seeds"]), *cells]


def _aligned(header: list[str], rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells: list[str]) -> str:
        first, *others = cells
        return "  ".join([first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))])

    return "\n".join([line(header), "  ".join("-" * width for width in widths), *map(line, rows)])


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, rule, *rows])
