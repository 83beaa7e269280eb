"""Where the pixels of a clip come from: random steps, each an affine map, composed so that a frame is resampled once.

Positions are continuous: pixel i covers [i, i + 1), its centre is i + 1/2; a matrix takes (x, y, 1) of the canvas before the
step to the canvas after it. A step is drawn once for the clip or, with `per_frame`, for every frame anew.
"""

import math
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

Matrix = Float[np.ndarray, "3 3"]


@runtime_checkable
class GeometryStep(Protocol):
    """One random affine step."""

    per_frame: bool  # drawn for every frame anew, else once for the clip
    crops: bool  # leaves a canvas of crop x crop pixels, else the canvas it was given

    def matrix(self, size: tuple[int, int], crop: int, generator: np.random.Generator) -> Matrix:
        """Positions before the step to positions after it, on a canvas of `size` = (H, W)."""


def shift(x: float, y: float) -> Matrix:
    """Moves by (x, y) pixels."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


class Flip:
    """Mirrors left and right with a probability."""

    crops = False

    def __init__(self, probability: float = 0.5, *, per_frame: bool = False) -> None:
        self.probability = probability
        self.per_frame = per_frame

    def matrix(self, size: tuple[int, int], crop: int, generator: np.random.Generator) -> Matrix:
        if generator.random() >= self.probability:
            return np.eye(3)
        return np.array([[-1.0, 0.0, float(size[1])], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


class Affine:
    """Rotation, shear along x, scale and shift about the centre of the canvas.

    `rotation` and `shear` in degrees to either side, `scale` = [lowest, highest], `translate` as part of the sides.
    """

    crops = False

    def __init__(
        self,
        *,
        rotation: float = 0.0,
        shear: float = 0.0,
        scale: list[float] | None = None,
        translate: float = 0.0,
        per_frame: bool = False,
    ) -> None:
        self.rotation, self.shear, self.translate = rotation, shear, translate
        self.smallest, self.largest = scale or [1.0, 1.0]
        self.per_frame = per_frame

    def matrix(self, size: tuple[int, int], crop: int, generator: np.random.Generator) -> Matrix:
        height, width = size
        turn = math.radians(generator.uniform(-self.rotation, self.rotation))
        slant = math.tan(math.radians(generator.uniform(-self.shear, self.shear)))
        scale = generator.uniform(self.smallest, self.largest)
        x, y = generator.uniform(-self.translate, self.translate, size=2) * (width, height)
        cos, sin = scale * math.cos(turn), scale * math.sin(turn)
        linear = np.array([[cos, cos * slant - sin, 0.0], [sin, sin * slant + cos, 0.0], [0.0, 0.0, 1.0]])
        return shift(width / 2 + x, height / 2 + y) @ linear @ shift(-width / 2, -height / 2)


class AreaCrop:
    """A window of random area and aspect, stretched to the crop: the `RandomResizedCrop` of torchvision.

    `area` is part of the canvas, `ratio` = width / height, drawn uniformly in its logarithm. After ten windows that do not fit,
    the largest centred one with an allowed aspect is taken.
    """

    crops = True

    def __init__(self, *, area: list[float], ratio: list[float], per_frame: bool = False) -> None:
        (self.smallest, self.largest), (self.narrowest, self.widest) = area, ratio
        self.per_frame = per_frame

    def matrix(self, size: tuple[int, int], crop: int, generator: np.random.Generator) -> Matrix:
        left, top, width, height = self.window(size, generator)
        return np.diag([crop / width, crop / height, 1.0]) @ shift(-left, -top)

    def window(self, size: tuple[int, int], generator: np.random.Generator) -> tuple[float, float, float, float]:
        """Left, top, width and height of the window in pixels of the canvas."""
        canvas_height, canvas_width = float(size[0]), float(size[1])
        for _ in range(10):
            area = canvas_height * canvas_width * generator.uniform(self.smallest, self.largest)
            ratio = math.exp(generator.uniform(math.log(self.narrowest), math.log(self.widest)))
            width, height = math.sqrt(area * ratio), math.sqrt(area / ratio)
            if width <= canvas_width and height <= canvas_height:
                left = generator.uniform(0.0, canvas_width - width)
                return left, generator.uniform(0.0, canvas_height - height), width, height
        width = min(canvas_width, canvas_height * self.widest)
        height = min(canvas_height, canvas_width / self.narrowest)
        return (canvas_width - width) / 2, (canvas_height - height) / 2, width, height


class ScaledCrop:
    """The short side scaled to `scale` (= [lowest, highest]) times the crop, then a window of the crop's size anywhere in it.

    Where the scaled canvas is smaller than the crop it lies at a random position inside, and the rest is fill.
    """

    crops = True

    def __init__(self, *, scale: list[float], per_frame: bool = False) -> None:
        self.smallest, self.largest = scale
        self.per_frame = per_frame

    def matrix(self, size: tuple[int, int], crop: int, generator: np.random.Generator) -> Matrix:
        factor = crop * generator.uniform(self.smallest, self.largest) / min(size)
        room_y, room_x = (factor * side - crop for side in size)  # negative: padding
        left, top = generator.random() * room_x, generator.random() * room_y
        return shift(-left, -top) @ np.diag([factor, factor, 1.0])


def frame_matrices(
    steps: list[GeometryStep], size: tuple[int, int], crop: int, num_frames: int, generator: np.random.Generator
) -> Float[np.ndarray, "T 3 3"]:
    """Positions in each source frame to positions in its crop, all steps composed in their order."""
    total = np.tile(np.eye(3), (num_frames, 1, 1))
    canvas = size
    for step in steps:
        draws = num_frames if step.per_frame else 1
        total = np.stack([step.matrix(canvas, crop, generator) for _ in range(draws)]) @ total
        canvas = (crop, crop) if step.crops else canvas
    return total
