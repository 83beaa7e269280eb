"""`task=score`: folders of masks against ground truth, by a benchmark's protocol.

At the speed of the scorer an import is the largest cost, so this file works without Hydra and torch, and numpy comes with the
first call.
"""

import csv
import json
import os
import sys
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from vosbench.errors import ConfigError, VosbenchError

COLUMNS = ("J&F", "J_mean", "J_recall", "J_decay", "F_mean", "F_recall", "F_decay")
REQUIRED = ("gt", "pred")


def run(gt: str, pred: str, protocol: str = "davis", out: str | None = None, **options: Any) -> dict[str, Any]:
    """Score, print the table, and return the content of scores.json.

    `out` is a file ending in .json, or a folder for scores.json; a CSV with global and per-object rows lies beside it. Without
    it nothing is written. `options` are those of `vosbench.metrics.folders.score_folders`.
    """
    from vosbench.metrics.folders import score_folders

    scores = score_folders(gt, pred, protocol, **options)
    print("\n".join(table(scores)))
    if out is not None:
        print(f"\n{write(scores, Path(out))}")
    return scores


def main(argv: list[str]) -> int:
    """Run from plain key=value arguments; values are taken as they stand, so blanks, commas and any letter may occur in paths.

    Returns the exit status: 2 and one sentence on standard error for what the user can mend.
    """
    # One thread per process is all that scoring uses; numpy would start one per core when imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        run(**parse(argv))
    except VosbenchError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(error, file=sys.stderr)
        return 2
    return 0


def parse(argv: list[str]) -> dict[str, Any]:
    """Arguments of `run` from key=value pairs. `null` leaves a key at its default."""
    found: dict[str, Any] = {}
    for argument in argv:
        key, separator, value = argument.partition("=")
        if not separator:
            raise ConfigError(f"'{argument}' is not key=value; task=score takes {', '.join(KEYS)}.")
        if key == "task":
            continue
        if key not in KEYS:
            nearest = get_close_matches(key, KEYS, n=1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"it takes {', '.join(KEYS)}."
            raise ConfigError(f"{key} is no key of task=score; {hint}")
        if value.lower() not in ("null", "none"):
            found[key] = KEYS[key](key, value)
    missing = [key for key in REQUIRED if key not in found]
    if missing:
        raise ConfigError(
            f"task=score needs {missing[0]}=FOLDER, as in: task=score gt=DAVIS/Annotations/480p pred=runs/.../masks"
        )
    return found


def _text(key: str, value: str) -> str:
    if not value:
        raise ConfigError(f"{key}= is empty; give a value, or leave the key out.")
    return value


def _switch(key: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise ConfigError(f"{key}={value} is a switch; write {key}=true or {key}=false.")
    return value.lower() == "true"


def _count(key: str, value: str) -> int:
    if not value.isdecimal():
        raise ConfigError(f"{key}={value} is not a whole number; write {key}=2, say.")
    return int(value)


KEYS: dict[str, Callable[[str, str], Any]] = {
    "gt": _text,
    "pred": _text,
    "protocol": _text,
    "out": _text,
    "split": _text,
    "meta": _text,
    "processes": _count,
    "strict": _switch,
    "strict_labels": _switch,
    "skip_short": _switch,
    "skip_first_and_last": _switch,
    "train_meta": _text,
    "unseen": _text,
}


def table(scores: dict[str, Any]) -> Iterator[str]:
    """Lines of the result in percent: the data set, then every sequence, the mean over its objects."""
    counts, overall = scores["counts"], scores["overall"]
    width = max(len(name) for name in [*scores["sequences"], "all objects"])
    counted = ", ".join(f"{counts[name]} {name}" for name in ("sequences", "objects", "frames"))
    yield f"{scores['protocol']}: {counted}; percent"
    yield f"{'':{width}} {'objects':>7} " + " ".join(f"{column:>8}" for column in COLUMNS)
    yield f"{'all objects':{width}} {counts['objects']:>7} " + _percents(overall)
    for name, result in scores["sequences"].items():
        if result["mean"] is not None:
            yield f"{name:{width}} {len(result['objects']):>7} " + _percents(result["mean"])
    special = [key for key in overall if key not in COLUMNS]
    if special:
        yield "   ".join(f"{key} {_percent(overall[key])}" for key in special)
    if scores["stray_labels"]:
        yield f"{scores['stray_labels']} predicted label(s) are not in the ground truth of their sequence and count as background"


def _percents(values: dict[str, float | None]) -> str:
    return " ".join(f"{_percent(values[column]):>8}" for column in COLUMNS)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def write(scores: dict[str, Any], out: Path) -> Path:
    """Write scores.json and its CSV and return the former's path. Each is written beside its place and renamed."""
    path = out if out.suffix == ".json" else out / "scores.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, lambda file: json.dump(scores, file, ensure_ascii=False, allow_nan=False))
        _replace(path.with_suffix(".csv"), lambda file: csv.writer(file).writerows(rows(scores)))
    except OSError as error:
        raise ConfigError(f"out={out}: the scores cannot be written there ({error.strerror}); choose another place.") from None
    return path


def rows(scores: dict[str, Any]) -> Iterator[list[Any]]:
    """Heading, the global row, then one row per object, in [0, 1] and full precision."""
    yield ["name", *COLUMNS]
    yield ["global", *(scores["overall"][column] for column in COLUMNS)]
    for name, result in scores["sequences"].items():
        for object_id, item in result["objects"].items():
            both = (item["J_mean"] + item["F_mean"]) / 2
            yield [f"{name}_{object_id}", both, *(item[column] for column in COLUMNS[1:])]


def _replace(path: Path, fill: Callable[[Any], Any]) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8", newline="") as file:
            fill(file)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
