"""Progress of long work: a bar on a terminal, now and then a plain line in a log file."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@runtime_checkable
class Advance(Protocol):
    """Says that `steps` more are done; `detail` names what is being worked on, e.g. a sequence."""

    def __call__(self, steps: int = 1, detail: str = "") -> None: ...


@contextmanager
def progress(
    what: str,
    total: int | None = None,
    *,
    console: Console | None = None,
    every: float = 10.0,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Advance]:
    """Show how far `what` has come: ``with progress("evaluating", total=30) as advance: advance(1, "bmx-trees")``.

    Goes to standard error, so that tables and file names on standard output stay clean. Where that is no terminal, one
    plain line is written at most every `every` seconds, and one at the end. `total` may be unknown.
    """
    console = console or Console(stderr=True)
    if not console.is_terminal:
        with _plain_lines(what, total, console, every, clock) as advance:
            yield advance
        return
    columns = [
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}", markup=False),  # a sequence may be called "[bold]"
    ]
    with Progress(*columns, console=console) as bars:
        task = bars.add_task(what, total=total, detail="")

        def advance(steps: int = 1, detail: str = "") -> None:
            bars.update(task, advance=steps, detail=detail)

        yield advance


@contextmanager
def _plain_lines(what: str, total: int | None, console: Console, every: float, clock: Callable[[], float]) -> Iterator[Advance]:
    started = last_line = clock()
    done = 0

    def line(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    def advance(steps: int = 1, detail: str = "") -> None:
        nonlocal done, last_line
        done += steps
        now = clock()
        if now - last_line < every:
            return
        last_line = now
        words = [f"{what}: {_share(done, total)}", _duration(now - started)]
        if total and 0 < done < total:
            words.append(f"about {_duration((now - started) * (total - done) / done)} left")
        line(", ".join(words + [detail] * bool(detail)))

    try:
        yield advance
    except BaseException:
        line(f"{what}: stopped at {_share(done, total)} after {_duration(clock() - started)}")
        raise
    line(f"{what}: {_share(done, total)} in {_duration(clock() - started)}")


def _share(done: int, total: int | None) -> str:
    return f"{done}/{total}" if total else str(done)


def _duration(seconds: float) -> str:
    """'42 s', '3 min 05 s' or '2 h 03 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
