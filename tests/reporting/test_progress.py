"""Progress on a terminal and in a log file."""

import io

import pytest
from rich.console import Console

from vosbench.reporting.progress import progress


class Clock:
    """Time that a test moves on."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def plain() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=40)


def lines(console: Console) -> list[str]:
    return console.file.getvalue().splitlines()


def test_a_log_file_gets_a_line_at_most_every_ten_seconds(plain):
    clock = Clock()

    with progress("evaluating", total=30, console=plain, clock=clock) as advance:
        for _ in range(30):
            clock.now += 1.0
            advance(1, "bmx-trees")

    assert lines(plain) == [
        "evaluating: 10/30, 10 s, about 20 s left, bmx-trees",
        "evaluating: 20/30, 20 s, about 10 s left, bmx-trees",
        "evaluating: 30/30, 30 s, bmx-trees",
        "evaluating: 30/30 in 30 s",
    ]


def test_short_work_is_one_line(plain):
    with progress("evaluating", total=2, console=plain, clock=Clock()) as advance:
        advance(1, "bear")
        advance()

    assert lines(plain) == ["evaluating: 2/2 in 0 s"]


def test_an_unknown_total_is_counted(plain):
    clock = Clock()

    with progress("segmenting", console=plain, clock=clock) as advance:
        clock.now += 3725.0
        advance(247, "[bold]juggle")

    assert lines(plain) == ["segmenting: 247, 1 h 02 min, [bold]juggle", "segmenting: 247 in 1 h 02 min"]


def stop_after_65_seconds(console: Console, clock: Clock) -> None:
    with progress("evaluating", total=30, console=console, clock=clock) as advance:
        clock.now += 65.0
        advance(12)
        raise OSError("disk")


def test_work_that_fails_says_where_it_stopped(plain):
    clock = Clock()

    with pytest.raises(OSError, match="disk"):
        stop_after_65_seconds(plain, clock)

    assert lines(plain)[-1] == "evaluating: stopped at 12/30 after 1 min 05 s"


def test_a_terminal_gets_a_bar_with_the_detail():
    terminal = Console(file=io.StringIO(), force_terminal=True, width=160, color_system=None)

    with progress("evaluating", total=2, console=terminal) as advance:
        advance(1, "[red]bmx-trees")
        advance(1, "[red]bmx-trees")

    shown = terminal.file.getvalue()
    assert "2/2" in shown
    assert "[red]bmx-trees" in shown
