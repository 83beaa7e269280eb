"""Scoring folders of label maps: ground truth against predictions, sequence by sequence, in as many processes as wanted."""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vosbench.errors import ConfigError, DatasetError, RunError
from vosbench.metrics.listings import Meta, find_split, read_categories, read_meta, read_names
from vosbench.metrics.rule_choice import NEED_META, check_protocol, rule_for
from vosbench.metrics.sequence_scorer import SequenceScorer
from vosbench.metrics.summary import summarise
from vosbench.video.png import view_indices

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SequenceTask:
    """All that a process needs to score one sequence."""

    sequence: str
    gt: str  # folder of its ground truth
    pred: str
    frame_names: list[str]


def score_folders(
    gt: str | os.PathLike[str],
    pred: str | os.PathLike[str],
    protocol: str = "davis",
    split: str | os.PathLike[str] | None = None,
    meta: str | os.PathLike[str] | None = None,
    *,
    processes: int | None = None,
    strict: bool | None = None,
    strict_labels: bool = False,
    skip_short: bool = False,
    skip_first_and_last: bool = True,
    train_meta: str | os.PathLike[str] | None = None,
    unseen: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """The content of scores.json for ``gt/<sequence>/<frame>.png`` against ``pred/<sequence>/<frame>.png``.

    Sequences on both sides are scored; `split` (a list, or the name of one in the set's ImageSets) narrows them. With `strict`,
    the default for named splits, a missing sequence is an error. `meta` is the meta file of ytvos and lvos, `train_meta` tells
    ytvos the seen categories, `unseen` is LVOS's list of unseen videos. `skip_short` leaves out sequences without a scored frame.
    `processes` (default: one per core) changes the time, never a digit. Bad folders or files raise `DatasetError`,
    a process that is killed `RunError`.
    """
    check_protocol(protocol, skip_first_and_last)
    truth, predicted = Path(gt), Path(pred)
    known = read_meta(protocol, None if meta is None else Path(meta), truth) if protocol in NEED_META else None
    sequences = _sequences(
        truth, predicted, protocol, split=None if split is None else os.fspath(split), strict=strict, meta=known
    )
    tasks = [SequenceTask(name, str(truth / name), str(predicted / name), _frame_names(truth / name)) for name in sequences]
    if skip_short and protocol in ("davis", "single", "generic") and skip_first_and_last:
        tasks = [task for task in tasks if len(task.frame_names) >= 3]
    score = partial(
        score_sequence, protocol=protocol, meta=known, strict_labels=strict_labels, skip_first_and_last=skip_first_and_last
    )
    return summarise(
        protocol,
        dict(_scored(tasks, score, processes)),
        categories={name: {str(key): item.category for key, item in objects.items()} for name, objects in (known or {}).items()},
        categories_seen=read_categories(Path(train_meta)) if train_meta is not None else None,
        unseen_sequences=read_names(Path(unseen), "unseen") if unseen is not None else None,
        gt=str(truth),
        pred=str(predicted),
    )


def score_sequence(
    task: SequenceTask, protocol: str, meta: Meta | None, strict_labels: bool, skip_first_and_last: bool
) -> tuple[str, dict[str, Any]]:
    """Name and result of one sequence. One frame is in memory at a time."""
    objects = (meta or {}).get(task.sequence, {})
    rule = rule_for(
        protocol,
        task.frame_names,
        task.sequence,
        object_frames={key: item.frames for key, item in objects.items()},
        frame_nums={key: item.frame_nums for key, item in objects.items() if item.frame_nums is not None},
        skip_first_and_last=skip_first_and_last,
    )
    scorer = SequenceScorer(rule, task.frame_names, task.sequence, strict_labels)
    _check_predicted(task, rule.scored)
    for name in scorer.frames:
        truth = _read(task.gt, name, task.sequence)
        predicted = _read(task.pred, name, task.sequence) if scorer.needs_prediction(name) else None
        if predicted is not None and predicted.shape != truth.shape:
            found, expected = ("x".join(map(str, item.shape)) for item in (predicted, truth))
            raise DatasetError(
                f"{task.pred}/{name}.png: the prediction is {found} but the ground truth of sequence '{task.sequence}', "
                f"frame '{name}' is {expected}; predictions are never resized, write them at the original size."
            )
        scorer.add(name, truth, predicted)
    return task.sequence, scorer.result()


def _read(folder: str, frame: str, sequence: str) -> npt.NDArray[np.uint8]:
    try:
        return view_indices(f"{folder}/{frame}.png")
    except DatasetError as error:
        raise DatasetError(f"Sequence '{sequence}', frame '{frame}': {error}") from None


def _check_predicted(task: SequenceTask, scored: list[str]) -> None:
    there = set(os.listdir(task.pred))
    missing = [name for name in scored if f"{name}.png" not in there]
    if missing:
        raise DatasetError(
            f"{task.pred}/{missing[0]}.png: sequence '{task.sequence}' has no prediction for frame '{missing[0]}' "
            f"({len(missing)} of {len(scored)} scored frames are missing); write a label map for every frame of the ground truth."
        )


def _sequences(gt: Path, pred: Path, protocol: str, *, split: str | None, strict: bool | None, meta: Meta | None) -> list[str]:
    """Names of the sequences to be scored, in order."""
    on_both = _folders(gt, "gt"), _folders(pred, "pred")
    wanted = sorted(on_both[0] if meta is None else on_both[0] & meta.keys())
    named = False
    if split is not None:
        path, named = find_split(split, gt, protocol)
        wanted = read_names(path, "split")
    missing = [name for name in wanted if name not in on_both[0] or name not in on_both[1]]
    if missing and (named if strict is None else strict):
        side, root = ("ground truth", gt) if missing[0] not in on_both[0] else ("prediction", pred)
        raise DatasetError(
            f"{root / missing[0]}: sequence '{missing[0]}' has no {side} ({len(missing)} of {len(wanted)} are missing); "
            "complete the folder, or set strict=false to score what is there."
        )
    found = sorted(set(wanted).difference(missing))
    if not found:
        raise DatasetError(
            f"{pred}: no sequence folder has a counterpart in {gt}; check gt, pred and split, expected <sequence>/<frame>.png."
        )
    unlisted = [] if meta is None else [name for name in found if name not in meta]
    if unlisted:
        raise DatasetError(
            f"Sequence '{unlisted[0]}' is not in the meta file, which says what protocol={protocol} scores; check meta."
        )
    if missing:
        log.warning(
            "%d of %d sequences are missing and not scored, first '%s'; strict=true refuses that",
            len(missing),
            len(wanted),
            missing[0],
        )
    return found


def _folders(root: Path, key: str) -> set[str]:
    try:
        with os.scandir(root) as entries:
            return {entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")}
    except OSError as error:
        raise DatasetError(f"{root}: this folder cannot be read ({error.strerror}); check {key}.") from None


def _frame_names(folder: Path) -> list[str]:
    names = sorted(name[: -len(".png")] for name in os.listdir(folder) if name.endswith(".png") and not name.startswith("."))
    if not names:
        raise DatasetError(
            f"{folder}: sequence '{folder.name}' has no ground truth, expected label maps like 00000.png; check gt."
        )
    return names


def _scored(
    tasks: list[SequenceTask], score: partial[tuple[str, dict[str, Any]]], processes: int | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Results in any order: the longest sequence is begun first, so that no process is left with it at the end."""
    if processes is not None and processes < 1:
        raise ConfigError(f"processes={processes} cannot score anything; give a number from 1 on, or null for one per core.")
    tasks = sorted(tasks, key=lambda task: (-len(task.frame_names), task.sequence))
    wanted = min(len(tasks), processes or _cores())
    if wanted <= 1:
        yield from map(score, tasks)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool

    # A forked process has everything imported already; elsewhere than on Linux forking is not safe with system libraries.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    # Not multiprocessing's own pool: that ends its processes by a signal, and where one holds the lock of the queue at that moment
    # the others wait for ever, as they do for the result of one that the system has killed. The caller may have its own handler
    # for SIGTERM, which a fork inherits.
    pool = ProcessPoolExecutor(wanted, context, initializer=signal.signal, initargs=(signal.SIGTERM, signal.SIG_DFL))
    try:
        for scored in as_completed([pool.submit(score, task) for task in tasks]):
            yield scored.result()
    except BrokenProcessPool:
        raise RunError(
            f"One of {wanted} scoring processes was ended from outside, as a system does that runs out of memory; nothing was written: "
            "score again with fewer, such as processes=1."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
