"""`Still`: one image with its label map, the raw material of pseudo-video."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8


@dataclass(frozen=True)
class Still:
    """One annotated image."""

    name: str
    image: UInt8[np.ndarray, "H W 3"]  # RGB
    label_map: UInt8[np.ndarray, "H W"]  # 0 background, 1..n objects
