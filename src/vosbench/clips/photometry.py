"""Colour changes, done by albumentations with a seed of their own for every clip."""

import os
import warnings
from types import ModuleType

import numpy as np
from jaxtyping import UInt8


def _albumentations() -> ModuleType:
    """The library, imported when first needed, for that takes seconds.

    Without the variable its import would ask the network for a newer version.
    """
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    return albumentations


class Photometry:
    """Colour jitter, grey and blur, each switched off by a strength or probability of 0.

    `brightness`, `contrast`, `saturation` multiply by 1 +- the number, `hue` turns by +- that part of the circle, in random
    order; `blur_sigma` = [lowest, highest] in pixels.
    """

    def __init__(
        self,
        *,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
        jitter_probability: float = 1.0,
        grey_probability: float = 0.0,
        blur_sigma: list[float] | None = None,
        blur_probability: float = 0.0,
    ) -> None:
        library = _albumentations()
        changes = []
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an argument that the library does not know is only a warning there
            if jitter_probability and (brightness or contrast or saturation or hue):
                factors = [(1 - strength, 1 + strength) for strength in (brightness, contrast, saturation)]
                changes.append(library.ColorJitter(*factors, (-hue, hue), p=jitter_probability))
            if grey_probability:
                changes.append(library.ToGray(p=grey_probability))
            if blur_sigma and blur_probability:
                changes.append(library.GaussianBlur(blur_limit=0, sigma_limit=tuple(blur_sigma), p=blur_probability))
            self.pipeline = library.Compose(changes) if changes else None

    def same_for_all(self, frames: UInt8[np.ndarray, "T H W 3"], seed: int) -> UInt8[np.ndarray, "T H W 3"]:
        """One draw, applied to every frame."""
        if self.pipeline is None:
            return frames
        # The pipeline's generator is copied into every worker: only a seed per clip makes draws differ there and repeat.
        self.pipeline.set_random_seed(seed)
        return self.pipeline(images=frames)["images"]

    def frame_by_frame(self, frames: UInt8[np.ndarray, "T H W 3"], seed: int) -> UInt8[np.ndarray, "T H W 3"]:
        """A draw for every frame."""
        if self.pipeline is None:
            return frames
        self.pipeline.set_random_seed(seed)
        return np.stack([self.pipeline(image=frame)["image"] for frame in frames])
