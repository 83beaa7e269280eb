"""Does CAPA tell objects that touch and look alike from each other? Numbers over procedural stills, and a picture of six.

python benchmarks/affinity.py runs/aot_capa/<run>/best.ckpt --stills 64 --picture affinity.png
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import UInt8

import vosbench
from vosbench.datasets.procedural import ProceduralStills
from vosbench.datasets.procedural_knobs import Knobs
from vosbench.methods.aot_capa.affinity import mean_affinity
from vosbench.methods.aot_capa.affinity_quality import affinity_quality, image_of
from vosbench.methods.aot_capa.capa import CAPA
from vosbench.reporting.overlays import SheetFrame, contact_sheet, overlay
from vosbench.reporting.written_beside import write_image
from vosbench.video.still import Still

SEED = 77  # no stage trains with it
SHOWN = 6


def crowded(count: int, size: int) -> ProceduralStills:
    """Stills of three to six objects, most of which look alike; nine in ten show some that touch."""
    knobs = Knobs(
        objects=[3, 6],
        clutter=[0, 0],
        lookalike_objects=0.6,
        lookalike_distractors=0.0,
        occluders=0.0,
        size=[0.22, 0.36],
        deformation=0.08,
        shared_palette=0.0,
        background_contrast=0.3,
        light=0.3,
        grain=3.0,
    )
    return ProceduralStills(size=size, count=count, seed=SEED, knobs=knobs, families=["ellipse", "polygon", "blob", "bar"])


@torch.no_grad()
def boundaries(capa: CAPA, still: Still) -> UInt8[np.ndarray, "H W 3"]:
    """``1 - mean affinity`` in gray, bright where something ends."""
    mean = mean_affinity(capa.affinity(image_of(still, capa)).sigmoid())
    gray = (255 * (1 - mean[0])).round().byte().cpu().numpy()
    return cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB)


def picture(capa: CAPA, stills: list[Still]) -> UInt8[np.ndarray, "H W 3"]:
    """Image, label map and predicted boundaries side by side, a row for each still."""
    rows = {}
    for still in stills:
        black = np.zeros_like(still.image)
        cells = {
            "image": still.image,
            "objects": overlay(black, still.label_map, alpha=1.0),
            "1 - affinity": boundaries(capa, still),
        }
        rows[still.name] = [SheetFrame(name, image) for name, image in cells.items()]
    return contact_sheet(rows, columns=3, cell_height=220)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="a checkpoint of vosbench, of a method with CAPA")
    parser.add_argument("--stills", type=int, default=64)
    parser.add_argument("--size", type=int, default=113, help="pixels of a side")
    parser.add_argument("--picture", type=Path, default=Path("affinity.png"))
    given = parser.parse_args()
    capa = getattr(vosbench.load(given.checkpoint), "capa", None)
    if not isinstance(capa, CAPA):
        parser.error(f"{given.checkpoint} holds no CAPA; give a checkpoint of aot_capa with method.capa set")
    capa.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    stills = crowded(given.stills, given.size)
    for name, value in affinity_quality(capa, stills).items():
        print(f"{name:<30}{value:12.4f}" if name != "touching_pairs" else f"{name:<30}{value:12.0f}")
    print(
        f"stills: {given.stills}, picture: {write_image(given.picture, picture(capa, [stills[index] for index in range(min(SHOWN, len(stills)))]))}"
    )


if __name__ == "__main__":
    main()
