"""Does frame 3,000 cost what frame 300 costs? Streams one long procedural video and compares time and memory.

python benchmarks/long_video.py runs/stma/<run>/best.ckpt
"""

import argparse
import gc
import resource
import time
from pathlib import Path
from statistics import median

import torch

import vosbench
from vosbench.datasets.procedural import ProceduralVideos
from vosbench.tasks.allocation import keep_freed_memory


def resident_mib() -> float:
    """Memory of this process that is in use now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    keep_freed_memory()  # as every job does
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="a checkpoint of vosbench")
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--size", type=int, default=128, help="pixels of a side")
    given = parser.parse_args()
    method = vosbench.load(given.checkpoint)
    method.to("cuda" if torch.cuda.is_available() else "cpu")
    sequence = ProceduralVideos("val", size=given.size, length=given.frames, count=1, seed=8)[0]
    session = vosbench.Session(method)
    seconds, resident, held = [], [], []
    for frame_index, name in enumerate(sequence.frames.names):
        image, prompts = sequence.frames[frame_index], sequence.prompts(frame_index)
        began = time.perf_counter()
        session.label_map(session.step(image, prompts))
        seconds.append(time.perf_counter() - began)
        if frame_index % 10 == 0:
            gc.collect()
        resident.append(resident_mib())
        held.append(session.memory.num_bytes() / 2**20 if session.memory is not None else 0.0)
        if frame_index % 500 == 499:
            print(f"frame {name}: {median(seconds[-100:]) * 1e3:.1f} ms, {resident[-1]:.0f} MiB")
    windows = {"frames 200-300": slice(200, 300), "last 100": slice(-100, None)}
    for title, window in windows.items():
        print(
            f"{title}: median {median(seconds[window]) * 1e3:.2f} ms a frame, process {median(resident[window]):.1f} MiB, "
            f"memory of the method {median(held[window]):.2f} MiB"
        )
    early, late = windows.values()
    for title, values in {"time": seconds, "process": resident, "memory of the method": held}.items():
        print(f"{title}, last 100 / frames 200-300: {median(values[late]) / median(values[early]):.3f}")
    print(f"objects: {len(session.object_ids)}, frames: {len(seconds)}, threads: {torch.get_num_threads()}")


if __name__ == "__main__":
    main()
