"""What a clip source is: training draws every sample by (seed, step, index) alone, so that a run can be repeated and resumed.

Nothing here keeps a state between two draws: the number of workers, the number of devices and the order in which clips
are asked for cannot change a sample.
"""

import zlib
from typing import Protocol, runtime_checkable

import numpy as np

from vosbench.video.clip import ClipSample


@runtime_checkable
class ClipSource(Protocol):
    """Draws training clips; a pure function of its four arguments."""

    def draw(self, seed: int, step: int, index: int, progress: float) -> ClipSample:
        """Clip number `index` of the global batch of step `step`; `progress` in [0, 1] is the part of the stage already done."""


def clip_generator(purpose: str, seed: int, step: int, index: int) -> np.random.Generator:
    """Random numbers for one clip. `purpose` keeps sources that wrap each other from drawing the same numbers."""
    return np.random.default_rng([zlib.crc32(purpose.encode()), seed, step, index])


def derived_seed(purpose: str, seed: int) -> int:
    """A seed of its own for a stage or a second draw, unrelated to the seeds of other purposes; in 0..2^32-1."""
    return int(np.random.SeedSequence([zlib.crc32(purpose.encode()), seed]).generate_state(1)[0])


def drawn_seed(generator: np.random.Generator) -> int:
    """A seed in 0..2^31-1 for a part that keeps a generator of its own."""
    return int(generator.integers(2**31))
