"""Shape families of the procedural set: each draws one contour (and holes) of unit area around the origin."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

Contours = list[Float[np.ndarray, "_ 2"]]  # the outline first, then its holes; x to the right, y down

_TURN = 2 * np.pi


def _radial(radius: Float[np.ndarray, " P"]) -> Float[np.ndarray, "P 2"]:
    """The closed curve with that radius at P equal steps of angle."""
    angle = np.linspace(0, _TURN, len(radius), endpoint=False)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _subdivided(corners: Float[np.ndarray, "C 2"], pieces: int) -> Float[np.ndarray, "_ 2"]:
    """A polygon with every edge cut into equal pieces, so that its edges can bend."""
    share = (np.arange(pieces) / pieces)[None, :, None]
    return (corners[:, None] * (1 - share) + np.roll(corners, -1, axis=0)[:, None] * share).reshape(-1, 2)


def _area_and_centroid(contour: Float[np.ndarray, "P 2"]) -> tuple[float, Float[np.ndarray, "2"]]:
    following = np.roll(contour, -1, axis=0)
    cross = contour[:, 0] * following[:, 1] - following[:, 0] * contour[:, 1]
    return float(abs(cross.sum()) / 2), ((contour + following) * cross[:, None]).sum(axis=0) / (3 * cross.sum())


def unit_area(contours: Contours) -> Contours:
    """The same shape, scaled to area one (holes taken off) and moved so that its outline's centroid is the origin."""
    outline, centre = _area_and_centroid(contours[0])
    area = outline - sum(_area_and_centroid(hole)[0] for hole in contours[1:])
    return [(contour - centre) / np.sqrt(area) for contour in contours]


def _ellipse(rng: np.random.Generator) -> Contours:
    return [_radial(np.ones(36)) * [1.0, rng.uniform(0.5, 0.95)]]


def _polygon(rng: np.random.Generator) -> Contours:
    sides = int(rng.integers(3, 7))
    angle = (np.arange(sides) + rng.uniform(-0.25, 0.25, sides)) * _TURN / sides
    return [_subdivided(np.stack([np.cos(angle), np.sin(angle)], axis=1), 36 // sides)]


def _star(rng: np.random.Generator) -> Contours:
    spikes = int(rng.integers(4, 8))
    return [_subdivided(_radial(np.tile([1.0, rng.uniform(0.4, 0.6)], spikes)), 3)]


def _blob(rng: np.random.Generator) -> Contours:
    waves = np.arange(2, 6)
    angle = np.linspace(0, _TURN, 48, endpoint=False)[:, None]
    swing = rng.uniform(0.3, 1, 4) * [0.28, 0.2, 0.14, 0.1]
    return [_radial(1 + (swing * np.cos(waves * angle + rng.uniform(0, _TURN, 4))).sum(axis=1))]


def _cross(rng: np.random.Generator) -> Contours:
    arm, reach = rng.uniform(0.26, 0.42), rng.uniform(0.7, 1.0)
    quarter = np.array([[1.0, arm], [arm, arm], [arm, reach], [-arm, reach], [-arm, arm], [-1.0, arm]])
    return [_subdivided(np.concatenate([quarter, -quarter]), 3)]


def _ring(rng: np.random.Generator) -> Contours:
    circle = _radial(np.ones(36)) * [1.0, rng.uniform(0.7, 1.0)]
    return [circle, circle * rng.uniform(0.4, 0.55)]


def _bar(rng: np.random.Generator) -> Contours:
    # Superellipse: a bar with round corners.
    angle = np.linspace(0, _TURN, 40, endpoint=False)
    curve = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return [np.sign(curve) * np.sqrt(np.abs(curve)) * [1.0, rng.uniform(0.28, 0.45)]]


def _crescent(rng: np.random.Generator) -> Contours:
    opening, depth = rng.uniform(0.3, 0.6), rng.uniform(0.35, 0.6)
    outer = np.linspace(opening, _TURN - opening, 30)
    outside = np.stack([np.cos(outer), np.sin(outer)], axis=1)
    # The inner edge runs back between the tips, its middle pulled towards the back of the shape.
    inner = np.linspace(outer[-1], outer[0], 18)[1:-1]
    inside = np.stack([np.cos(opening) + (np.cos(inner) - np.cos(opening)) * depth, np.sin(inner) * 0.8], axis=1)
    return [np.concatenate([outside, inside])]


_LETTERS = (  # corners on a grid of three by three strokes: L, T, U, Z, H
    ((0, 0), (1, 0), (1, 2), (3, 2), (3, 3), (0, 3)),
    ((0, 0), (3, 0), (3, 1), (2, 1), (2, 3), (1, 3), (1, 1), (0, 1)),
    ((0, 0), (1, 0), (1, 2), (2, 2), (2, 0), (3, 0), (3, 3), (0, 3)),
    ((0, 0), (2, 0), (2, 2), (3, 2), (3, 3), (1, 3), (1, 1), (0, 1)),
    ((0, 0), (1, 0), (1, 1), (2, 1), (2, 0), (3, 0), (3, 3), (2, 3), (2, 2), (1, 2), (1, 3), (0, 3)),
)


def _letter(rng: np.random.Generator) -> Contours:
    corners = np.array(_LETTERS[int(rng.integers(len(_LETTERS)))], dtype=float)
    return [_subdivided(corners * [rng.uniform(0.75, 1.0), 1.0], 4)]


def _gear(rng: np.random.Generator) -> Contours:
    teeth, root = int(rng.integers(7, 11)), rng.uniform(0.66, 0.78)
    wheel = _radial(np.tile([1.0, 1.0, 1.0, root, root, root], teeth))
    return [wheel, _radial(np.full(24, rng.uniform(0.2, 0.35)))]


def _heart(rng: np.random.Generator) -> Contours:
    angle = np.linspace(0, _TURN, 44, endpoint=False)
    across = 16 * np.sin(angle) ** 3
    up = 13 * np.cos(angle) - 5 * np.cos(2 * angle) - 2 * np.cos(3 * angle) - np.cos(4 * angle)
    return [np.stack([across * rng.uniform(0.8, 1.1), -up], axis=1)]


def _arrow(rng: np.random.Generator) -> Contours:
    neck, shaft = rng.uniform(0.1, 0.35), rng.uniform(0.2, 0.32)
    upper = [[1.0, 0.0], [neck - 0.2, 0.75], [neck, shaft], [-1.0, shaft]]
    return [_subdivided(np.array(upper + [[x, -y] for x, y in upper[:0:-1]]), 5)]


FAMILIES: dict[str, Callable[[np.random.Generator], Contours]] = {
    "ellipse": _ellipse,
    "polygon": _polygon,
    "star": _star,
    "blob": _blob,
    "cross": _cross,
    "ring": _ring,
    "bar": _bar,
    "crescent": _crescent,
    "letter": _letter,
    "gear": _gear,
    "heart": _heart,
    "arrow": _arrow,
}


def shape(family: str, rng: np.random.Generator) -> Contours:
    """One member of a family, of area one."""
    return unit_area(FAMILIES[family](rng))
