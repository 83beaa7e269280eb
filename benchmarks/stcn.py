"""Processor seconds of STCN or XMem, as published, for 20 frames of 480x864 with 2 objects, storing every 5th.

    python benchmarks/stcn.py                    # that pass, random weights
    python benchmarks/stcn.py --method xmem
    python benchmarks/stcn.py --long 128 128     # does frame 3,000 cost what frame 100 costs? bounded memory, frames of that size

One thread. The pass is that of one first frame with its masks and 19 segmented ones; building the network is left out.
"""

import argparse
import resource
import time
from statistics import median

import numpy as np
import torch

from vosbench.configuration.composition import Source
from vosbench.configuration.places import conf_folder
from vosbench.configuration.targets import build
from vosbench.inference.session import Session
from vosbench.methods.method import Method
from vosbench.tasks.allocation import keep_freed_memory

RANDOM = ["method.key_trunk.pretrained=false", "method.value_trunk.pretrained=false"]


def network(name: str, *overrides: str) -> Method:
    """The method with random weights."""
    torch.manual_seed(0)
    return build(Source(conf_folder()).compose([f"+method={name}", *overrides, *RANDOM]).config.method)


def drifting(frames: int, height: int, width: int) -> np.ndarray:
    """Coarse noise that moves: (T, H, W, 3) uint8, as views of one picture."""
    coarse = np.random.default_rng(0).integers(0, 256, (height // 16 + 1, width // 16 + 21, 3), dtype=np.uint8)
    wide = coarse.repeat(16, 0).repeat(16, 1)
    return np.stack([wide[:height, t % 320 : t % 320 + width] for t in range(frames)])


def squares(height: int, width: int) -> dict[int, np.ndarray]:
    """Masks of two objects."""
    masks = {1: np.zeros((height, width), bool), 2: np.zeros((height, width), bool)}
    masks[1][height // 8 : height // 2, width // 8 : width // 3] = True
    masks[2][height // 2 : height - height // 8, width // 2 : width - width // 8] = True
    return masks


def one_pass(method: Method, frames: int, height: int, width: int, label: str) -> None:
    """Processor and wall seconds of a short video."""
    session, video, masks = Session(method), drifting(frames, height, width), squares(height, width)
    cpu, wall = time.process_time(), time.perf_counter()
    for t, image in enumerate(video):
        session.step(image, masks if t == 0 else None)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{label}, {frames} frames of {height}x{width}, 2 objects: {cpu:.1f} s of processor, {wall:.1f} s, peak {peak:.0f} MiB")


def long_video(method: Method, height: int, width: int) -> None:
    """Frames a second and bytes held around frames 100, 1000 and 3000."""
    session = Session(method)
    video, masks, seconds = drifting(320, height, width), squares(height, width), []
    for t in range(3001):
        began = time.perf_counter()
        session.step(video[t % 320], masks if t == 0 else None)
        seconds.append(time.perf_counter() - began)
        if t in (100, 1000, 3000):
            held = session.memory.num_bytes()
            middle = median(seconds[-50:])
            print(f"frame {t}: {1 / middle:.2f} frames a second (median of 50), {held} bytes held", flush=True)


def main() -> None:
    keep_freed_memory()  # as every job does
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="stcn", choices=("stcn", "xmem"))
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--pixels", type=int, nargs=2, default=[480, 864], metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--size", default="paper", choices=("paper", "tiny"))
    parser.add_argument("--long", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--max-frames", type=int, default=8, help="bound of STCN's memory in a long video; XMem has its own")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    bound = [f"method.memory.max_frames={given.max_frames}"] if given.long and given.method == "stcn" else []
    method = network(given.method, f"size={given.size}", *bound)
    if given.long:
        long_video(method, *given.long)
    else:
        one_pass(method, given.frames, *given.pixels, f"{given.method}, size={given.size}")


if __name__ == "__main__":
    main()
