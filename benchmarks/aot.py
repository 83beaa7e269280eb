"""How long does a frame take with AOT, and does it matter how many objects there are? Random weights, noise for a video.

python benchmarks/aot.py aot_t r50_aotl

Seconds are the median over frames 4-13 after 3 frames of warm-up, of the whole step: masks of the frame and the memory's update.
"""

import argparse
import time
from statistics import median

import numpy as np
import torch

import vosbench
from vosbench.checkpoints.load import without_pretrained
from vosbench.configuration.composition import Source
from vosbench.configuration.places import conf_folder
from vosbench.configuration.targets import build
from vosbench.methods.method import Method
from vosbench.tasks.allocation import keep_freed_memory

WARM_UP, LAST = 3, 13  # frames


def network(variant: str) -> Method:
    """The published form of that variant."""
    torch.manual_seed(0)
    overrides = ["+method=aot", "size=paper", f"method.variant={variant}"]
    return build(without_pretrained(Source(conf_folder()).compose(overrides).config["method"]))


def squares(objects: int, size: int) -> dict[int, np.ndarray]:
    """A mask for each object, side by side in rows of four."""
    side, masks = size // 5, {}
    for number in range(objects):
        mask = np.zeros((size, size), bool)
        top, left = (number // 4) * (side + 10) + 10, (number % 4) * (side + 10) + 10
        mask[top : top + side, left : left + side] = True
        masks[number + 1] = mask
    return masks


def seconds_per_frame(method: Method, objects: int, size: int) -> float:
    """See the module's first lines."""
    generator = np.random.default_rng(0)
    session, seconds = vosbench.Session(method), []
    for frame in range(LAST + 1):
        image = generator.integers(0, 256, (size, size, 3), dtype=np.uint8)
        began = time.perf_counter()
        session.label_map(session.step(image, squares(objects, size) if frame == 0 else None))
        seconds.append(time.perf_counter() - began)
    return median(seconds[WARM_UP + 1 :])


def main() -> None:
    keep_freed_memory()  # as every job does
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="+", help="see conf/method/size/aot_paper.yaml")
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 3, 10])
    parser.add_argument("--size", type=int, default=465, help="pixels of a side")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for variant in given.variants:
        method = network(variant)
        for objects in given.objects:
            seconds = seconds_per_frame(method, objects, given.size)
            print(f"{variant:12} {objects:3} objects {seconds:7.3f} s a frame {1 / seconds:6.2f} frames/s", flush=True)
    print(f"{given.size} x {given.size} pixels, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
