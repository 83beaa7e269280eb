"""How long scoring takes beside the vos-benchmark package: both as whole processes, in turn, on the same masks.

    python benchmarks/score.py MASKS --other-python VENV/bin/python

MASKS holds gt/<sequence>/*.png and pred/<sequence>/*.png. Prints the median CPU and wall seconds of each program and the ratios.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

OURS = (sys.executable, "-m", "vosbench", "task=score", "protocol=davis")
OTHER = """
import sys
from vos_benchmark.benchmark import benchmark
benchmark([sys.argv[1]], [sys.argv[2]], True, int(sys.argv[3]), verbose=False)
"""


def linked(source: Path, target: Path) -> Path:
    """A folder with the same sequences: vos-benchmark writes its results.csv into it."""
    target.mkdir()
    for folder in source.resolve().iterdir():
        if folder.is_dir():
            (target / folder.name).symlink_to(folder)
    return target


def seconds(command: list[str]) -> tuple[float, float]:
    """CPU seconds, of the process and its children, and wall seconds."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("masks", type=Path, help="folder with gt and pred")
    parser.add_argument("--other-python", default=sys.executable, help="interpreter that has vos-benchmark (default: this one)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        gt, pred = (linked(options.masks / side, Path(folder) / side) for side in ("gt", "pred"))
        for processes in options.processes:
            commands = {
                "vosbench": [*OURS, f"gt={gt}", f"pred={pred}", f"processes={processes}", f"out={Path(folder) / 'scores.json'}"],
                "vos-benchmark": [options.other_python, "-c", OTHER, str(gt), str(pred), str(processes)],
            }
            runs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
            for _ in range(options.repeats):  # in turn: a load that comes and goes meets both
                for name, command in commands.items():
                    runs[name].append(seconds(command))
            medians = {name: [median(values) for values in zip(*taken, strict=True)] for name, taken in runs.items()}
            ratios = [other / ours for other, ours in zip(medians["vos-benchmark"], medians["vosbench"], strict=True)]
            found[processes] = {**medians, "ratio": ratios}
            for name, (cpu, wall) in medians.items():
                print(f"{processes} process(es)  {name:14} CPU {cpu:7.2f} s   wall {wall:7.2f} s")
            print(f"{processes} process(es)  {'ratio':14} CPU {ratios[0]:7.1f}     wall {ratios[1]:7.1f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"cores": os.cpu_count(), "repeats": options.repeats, "seconds": found}, indent=1))


if __name__ == "__main__":
    main()
