"""Frames per second of the procedural set on one core: whole videos, and short clips of ever new ones.

OMP_NUM_THREADS=1 python benchmarks/procedural.py --size 128 --sequences 40
"""

import argparse
import logging
import time

import cv2

from vosbench.datasets.procedural import ProceduralVideos

log = logging.getLogger("benchmarks.procedural")

CLIP = 5  # frames of a training clip


def milliseconds_per_frame(videos: ProceduralVideos, frames: range) -> float:
    """Mean time for one image with its label map, the planning of the sequence included."""
    begin = time.perf_counter()
    for index in range(len(videos)):
        sequence = videos[index]
        for t in frames:
            sequence.frames[t], sequence.label_maps[t]
    return (time.perf_counter() - begin) * 1e3 / (len(videos) * len(frames))


def main() -> None:
    """Measure and log."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128, help="side of the frames in pixels")
    parser.add_argument("--length", type=int, default=24, help="frames of a sequence")
    parser.add_argument("--sequences", type=int, default=40)
    options = parser.parse_args()
    cv2.setNumThreads(1)  # one core is what is measured
    videos = ProceduralVideos("train", size=options.size, length=options.length, count=options.sequences, seed=0)
    milliseconds_per_frame(videos, range(1))  # warm-up
    whole = milliseconds_per_frame(videos, range(options.length))
    clip = milliseconds_per_frame(videos, range(0, options.length, max(1, options.length // CLIP))[:CLIP])
    log.info("%dx%d, image and label map: %.0f frames/s over whole videos", options.size, options.size, 1e3 / whole)
    log.info("%d-frame clips of new sequences: %.1f ms a clip, %.0f frames/s", CLIP, clip * CLIP, 1e3 / clip)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
