"""Which frames of a video make a clip: three published ways, all over the indices of the annotated frames.

The first frame of the result is the reference, the one whose masks are given.
"""

from typing import Literal, Protocol, runtime_checkable

import numpy as np

from vosbench.errors import ConfigError


@runtime_checkable
class FrameChoice(Protocol):
    """Chooses `length` of `num_frames` annotated frames; neighbours lie about `max_skip` apart at most."""

    def __call__(self, num_frames: int, length: int, max_skip: int, generator: np.random.Generator) -> list[int]: ...


class IterativeFrames:
    """Start at a random frame, add random unused frames within `max_skip` of one already chosen, sort, perhaps reverse.

    Sorted neighbours are never more than `max_skip` apart. Source: XMem; STMA spec, 6.3.
    """

    def __init__(self, reverse_probability: float = 0.5) -> None:
        self.reverse_probability = reverse_probability

    def __call__(self, num_frames: int, length: int, max_skip: int, generator: np.random.Generator) -> list[int]:
        chosen = np.zeros(num_frames, dtype=bool)
        reachable = np.zeros(num_frames, dtype=bool)
        latest = int(generator.integers(num_frames))
        for _ in range(length - 1):
            chosen[latest] = True
            reachable[max(0, latest - max_skip) : latest + max_skip + 1] = True
            latest = int(generator.choice(np.flatnonzero(reachable & ~chosen)))
        chosen[latest] = True
        frames = np.flatnonzero(chosen).tolist()
        return frames[::-1] if generator.random() < self.reverse_probability else frames


class UniformGaps:
    """Gaps between neighbours drawn from 1..`max_skip`, the start anywhere. Sources: AOT (spec 6.4), CFBI (6.2), QMRA (6).

    `ends` says what happens at the end of the video: `reflect` walks back into it (AOT, CFBI; a frame can come twice),
    `fit` shortens the longest gaps and places the clip inside (QMRA: temporal order). `reference` is the first frame of the
    walk, or a frame `anywhere` in the video in front of it (CFBI: reference, previous, current frames).
    """

    def __init__(
        self,
        reverse_probability: float = 0.5,
        ends: Literal["reflect", "fit"] = "reflect",
        reference: Literal["first", "anywhere"] = "first",
    ) -> None:
        self.reverse_probability = reverse_probability
        self.ends = ends
        self.reference = reference

    def __call__(self, num_frames: int, length: int, max_skip: int, generator: np.random.Generator) -> list[int]:
        walk_length = length if self.reference == "first" else length - 1
        gaps = generator.integers(1, max_skip + 1, size=walk_length - 1)
        if self.ends == "fit":
            while gaps.sum() > num_frames - 1:
                gaps[np.argmax(gaps)] -= 1
            start = int(generator.integers(num_frames - gaps.sum()))
        else:
            start = int(generator.integers(num_frames))
        walk = start + np.concatenate([[0], np.cumsum(gaps)])
        if generator.random() < self.reverse_probability:
            walk = walk[::-1] if self.ends == "fit" else num_frames - 1 - walk  # time runs backwards
        frames = [_reflected(int(frame), num_frames) for frame in walk]
        if self.reference == "anywhere":
            frames.insert(0, int(generator.integers(num_frames)))
        return frames


def _reflected(frame: int, num_frames: int) -> int:
    """Index folded back into 0..num_frames-1 at both ends, which are not repeated."""
    if num_frames == 1:
        return 0
    period = 2 * (num_frames - 1)
    frame %= period
    return min(frame, period - frame)


class ClampedTriple:
    """Three frames whose gaps are drawn from 1..`max_skip` + 1 and clamped at the end of the video. Source: STCN; LGDK spec, 6.4.

    The clamps can repeat a frame in short videos; that is STCN's and kept.
    """

    def __init__(self, reverse_probability: float = 0.5) -> None:
        self.reverse_probability = reverse_probability

    def __call__(self, num_frames: int, length: int, max_skip: int, generator: np.random.Generator) -> list[int]:
        if length != 3:
            raise ConfigError(f"length is {length} but ClampedTriple chooses 3 frames; use IterativeFrames for other lengths.")
        jump = min(num_frames, max_skip)
        first = int(generator.integers(num_frames - jump + 1))
        second = min(first + 1 + int(generator.integers(jump + 1)), num_frames - jump, num_frames - 1)
        third = min(second + 1 + int(generator.integers(jump + 1)), num_frames - jump // 2, num_frames - 1)
        frames = [first, second, third]
        return frames[::-1] if generator.random() < self.reverse_probability else frames
