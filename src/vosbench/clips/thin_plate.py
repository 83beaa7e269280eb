"""Thin-plate-spline warp: the smooth deformation that turns copies of one image into frames of a pseudo-video."""

import cv2
import numpy as np
from jaxtyping import Float

GRID_STEP = 4  # pixels; the displacement is smooth, so it is evaluated on this grid and interpolated between


class ThinPlateWarp:
    """With a probability, moves `points` random points of the frame by N(0, `sigma`^2) of its size and bends the rest with them.

    ``x -> A [x; 1] + sum_k w_k U(|x - c_k|)``, ``U(r) = r^2 log r^2``, through the displaced points. Sources: QMRA spec,
    section 6; STMA spec, 6.3.
    """

    def __init__(self, probability: float, *, points: int = 12, sigma: float = 0.02) -> None:
        self.probability, self.points, self.sigma = probability, points, sigma

    def displacement(self, crop: int, generator: np.random.Generator) -> Float[np.ndarray, "H W 2"] | None:
        """How many pixels (x, y) away each pixel's value is taken from; None where this frame is not warped."""
        if generator.random() >= self.probability:
            return None
        control = generator.random((self.points, 2))
        target = control + generator.normal(0.0, self.sigma, size=control.shape)
        nodes = np.arange(0, crop + GRID_STEP, GRID_STEP) / crop
        grid = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
        moved = (thin_plate(control, target, grid) - grid) * crop
        coarse = moved.reshape(len(nodes), len(nodes), 2).astype(np.float32)
        to_grid = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5]]) / GRID_STEP  # pixel centres in steps of the grid
        return cv2.warpAffine(coarse, to_grid, (crop, crop), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def thin_plate(
    control: Float[np.ndarray, "P 2"], target: Float[np.ndarray, "P 2"], positions: Float[np.ndarray, "Q 2"]
) -> Float[np.ndarray, "Q 2"]:
    """Images of `positions` under the thin-plate spline that takes `control` to `target`."""
    count = len(control)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _kernel(control, control)
    system[:count, count:] = np.concatenate([control, np.ones((count, 1))], axis=1)
    system[count:, :count] = system[:count, count:].T
    weights = np.linalg.solve(system, np.concatenate([target, np.zeros((3, 2))]))
    return _kernel(positions, control) @ weights[:count] + positions @ weights[count:-1] + weights[-1]


def _kernel(a: Float[np.ndarray, "Q 2"], b: Float[np.ndarray, "P 2"]) -> Float[np.ndarray, "Q P"]:
    squared = ((a[:, None] - b[None]) ** 2).sum(-1)
    return squared * np.log(np.maximum(squared, 1e-300))  # 0 at distance 0
