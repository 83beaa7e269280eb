"""Seconds and memory of CFBI+ (ResNet-101) for one frame, on random weights.

OMP_NUM_THREADS=2 python benchmarks/cfbi.py --objects 1 2 5
"""

import argparse
import resource
import time
from statistics import median

import torch

from vosbench.configuration.composition import Source
from vosbench.configuration.places import conf_folder
from vosbench.configuration.targets import build
from vosbench.methods.method import Method, Prompted
from vosbench.tasks.allocation import keep_freed_memory


def network(name: str, overrides: list[str]) -> Method:
    """The published form without its trained weights."""
    words = [f"+method={name}", "size=paper", "method.backbone.pretrained=null", *overrides]
    torch.manual_seed(0)
    return build(Source(conf_folder()).compose(words).config.method).eval()


def rectangles(objects: int, height: int, width: int) -> Prompted:
    """Objects side by side, a third of the picture in all."""
    planes = torch.zeros(1, objects, height, width)
    for channel in range(objects):
        left = (2 * channel + 1) * width // (2 * objects + 1)
        planes[0, channel, height // 6 : height * 5 // 6, left : left + width // (2 * objects + 1)] = 1
    return Prompted(planes, torch.ones(1, objects, dtype=torch.bool))


def now(device: torch.device) -> float:
    """Seconds, once the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


@torch.inference_mode()
def measure(method: Method, objects: int, height: int, width: int, frames: int) -> tuple[float, float]:
    """Median seconds of a frame and of its encoding alone, after two frames to warm up."""
    device = method.device
    video = torch.rand(frames + 3, 1, 3, height, width, device=device)
    prompted = rectangles(objects, height, width)
    prompted = Prompted(prompted.planes.to(device), prompted.given.to(device))
    memory = method.start(1, objects, (height, width))
    memory = method.step(method.encode(video[0]), memory, 0, prompted).memory
    whole, encoding = [], []
    for t in range(1, frames + 3):
        began = now(device)
        features = method.encode(video[t])
        encoding.append(now(device) - began)
        memory = method.step(features, memory, t).memory
        whole.append(now(device) - began)
    return median(whole[2:]), median(encoding[2:])


def main() -> None:
    keep_freed_memory()  # as every job does
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="cfbi_plus", help="cfbi_plus or cfbi_fgstm")
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 2, 5])
    parser.add_argument("--height", type=int, default=465)
    parser.add_argument("--width", type=int, default=465)
    parser.add_argument("--frames", type=int, default=5, help="measured ones, after two to warm up")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("overrides", nargs="*", help="of the configuration, such as method.neck=none")
    given = parser.parse_args()
    method = network(given.method, given.overrides).to(given.device)
    print(f"{given.method}, {given.height}x{given.width}, {given.device}, threads: {torch.get_num_threads()}")
    for objects in given.objects:
        seconds, encoding = measure(method, objects, given.height, given.width, given.frames)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        if given.device != "cpu":
            peak = torch.cuda.max_memory_allocated() / 2**20
        print(f"{objects} objects: {seconds:.3f} s a frame, {encoding:.3f} s of it encoding, peak memory so far {peak:.0f} MiB")


if __name__ == "__main__":
    main()
