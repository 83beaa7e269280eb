"""What an evaluation leaves in a wandb run; the training curves are logged by Lightning's logger.

Works the same offline: nothing here needs the network or a key.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vosbench.reporting.break_down import object_mean, sequence_rows

# Name on the dashboard -> key of "overall" in scores.json; G exists for YouTube-VOS alone.
_SUMMARY = {"val/j": "J_mean", "val/f": "F_mean", "val/jf": "J&F", "val/g": "G"}


def log_evaluation(run: Any, scores: Mapping[str, Any], overlays: Mapping[str, Path | np.ndarray] | None = None) -> None:
    """Log one evaluation to a wandb run that the caller has opened (and will finish).

    Summary: val/j, val/f, val/jf, and val/g where the protocol has it. Tables: val/sequences and val/objects, in [0, 1].
    `overlays` maps a caption, e.g. the sequence, to an RGB image or an image file; they appear as val/overlays.
    """
    import wandb  # late: it takes a second, and runs without wandb must not pay it

    overall = scores["overall"]
    run.summary.update({name: overall[key] for name, key in _SUMMARY.items() if overall.get(key) is not None})
    rows = sequence_rows(scores)
    sequences = wandb.Table(
        columns=["sequence", "frames", "objects", "J", "F", "J&F"],
        data=[[row.name, row.frames, row.objects, row.j, row.f, row.jf] for row in rows],
    )
    objects = wandb.Table(
        columns=["sequence", "object", "J", "F", "J&F"],
        data=[
            [name, object_id, item["J_mean"], item["F_mean"], object_mean(item)]
            for name, sequence in scores["sequences"].items()
            for object_id, item in sequence["objects"].items()
        ],
    )
    logged: dict[str, Any] = {"val/sequences": sequences, "val/objects": objects}
    if overlays:
        images = {caption: str(image) if isinstance(image, Path) else image for caption, image in overlays.items()}
        logged["val/overlays"] = [wandb.Image(image, caption=caption) for caption, image in images.items()]
    run.log(logged)
