"""How long does a frame take with QMRA, what of it are encoders, aggregation and decoders, and how does it grow with the objects?

python benchmarks/qmra.py

Random weights, noise for a video. Seconds are the median over `--frames` frames behind the prompted one and one of warm-up, of the
whole step: masks of the frame and the memory's update. The parts' seconds are of the same frame. Encoders: f_q, f_m; aggregation:
keys and values, memory read, BCA; decoders: those of box map and mask, and the CRM. The rest: resizing, boxes, soft aggregation.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch

import vosbench
from vosbench.checkpoints.load import without_pretrained
from vosbench.configuration.composition import Source
from vosbench.configuration.places import conf_folder
from vosbench.configuration.targets import build
from vosbench.methods.qmra.network import QMRA
from vosbench.tasks.allocation import keep_freed_memory

PARTS = ("encoders", "aggregation", "decoders")


def network(size: str) -> QMRA:
    """The full method, as it is initialised."""
    torch.manual_seed(0)
    return build(without_pretrained(Source(conf_folder()).compose(["+method=qmra", f"size={size}"]).config["method"]))


class Stopwatch:
    """Seconds spent in the parts of a method; a part inside a part counts once."""

    def __init__(self, method: QMRA) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._busy = False
        for module in (method.f_q, method.f_m):
            self._wrap(module, "forward", "encoders")
        for module in (method.kv_q, method.kv_m, method.bca1, method.bca2):
            self._wrap(module, "forward", "aggregation")
        self._wrap(method, "_read", "aggregation")
        for decoder in (method.dec_b, method.dec_s, method.crm.dec):
            self._wrap(decoder, "sides", "decoders")
            self._wrap(decoder, "forward", "decoders")
        self._wrap(method.crm, "forward", "decoders")

    def _wrap(self, owner: Any, name: str, part: str) -> None:
        honest: Callable[..., Any] = getattr(owner, name)

        def timed(*arguments: Any, **named: Any) -> Any:
            if self._busy:
                return honest(*arguments, **named)
            self._busy, began = True, time.perf_counter()
            try:
                return honest(*arguments, **named)
            finally:
                self._busy = False
                self.seconds[part] += time.perf_counter() - began

        setattr(owner, name, timed)

    def read(self) -> dict[str, float]:
        """Seconds since the last reading."""
        found, self.seconds = self.seconds, dict.fromkeys(PARTS, 0.0)
        return found


def boxes(objects: int, height: int, width: int) -> dict[int, tuple[float, ...]]:
    """A box for each object, side by side."""
    side = width / (objects + 1)
    return {number + 1: (number * side + 10, height / 4, (number + 1) * side, 3 * height / 4) for number in range(objects)}


def seconds_per_frame(
    method: QMRA, watch: Stopwatch, objects: int, size: tuple[int, int], frames: int
) -> tuple[float, dict[str, float]]:
    """Of the frame in the middle by its time: all of it, and its parts."""
    generator = np.random.default_rng(0)
    session, found = vosbench.Session(method), []
    for frame in range(frames + 2):
        image = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
        watch.read()
        began = time.perf_counter()
        session.label_map(session.step(image, boxes(objects, *size) if frame == 0 else None))
        found.append((time.perf_counter() - began, watch.read()))
    found = found[2:]
    middle = median(sorted(seconds for seconds, _ in found)[: frames - 1 + frames % 2])  # of an odd number, so that it is a frame
    return next(item for item in found if item[0] == middle)


def main() -> None:
    keep_freed_memory()  # as every job does
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="paper", choices=("paper", "tiny"))
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=854)
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    method = network(given.size)
    watch = Stopwatch(method)
    for objects in given.objects:
        size = (given.height, given.width)
        seconds, parts = seconds_per_frame(method, watch, objects, size, given.frames)
        parts["rest"] = seconds - sum(parts.values())
        shares = ", ".join(f"{name} {100 * spent / seconds:.0f} %" for name, spent in parts.items())
        print(f"{objects:3} objects {seconds:7.3f} s a frame {1 / seconds:6.2f} frames/s: {shares}", flush=True)
    print(f"{given.size} size, {given.height} x {given.width} pixels, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
