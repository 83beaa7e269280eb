"""Attributes of the procedural set's objects, measured on what the sequence truly shows."""

import math

import numpy as np
from jaxtyping import Float, Int

from vosbench.datasets.procedural_knobs import MIN_PROMPT_AREA
from vosbench.datasets.procedural_scene import Scene

SMALL_SHARE = 0.02  # small: mean visible area, where visible, below this share of the frame
FAST_SHARE = 0.03  # fast: mean way of the visible centroid per frame above this share of the frame's shorter side


def attributes(scene: Scene, length: int) -> dict[int, frozenset[str]]:
    """Of each object id, which of these hold: small, fast, occluded, look-alike, late, re-appearing.

    *occluded*: in some frame something in front hides more than half of what the frame would show of it; *late*: its
    prompt comes after frame 0; *re-appearing*: no pixel of it, then some again; *look-alike*: another layer of the same
    appearance is visible in a frame in which it is visible itself, each with the area that a prompt needs.
    """
    area, centre = _measured(scene, length)
    found = {}
    for number, layer in enumerate(scene.layers):
        if layer.object_id:
            visible = area[:, number]
            alone = np.array([scene.area_alone(layer, t) for t in range(length)])
            twins = [k for k, other in enumerate(scene.layers) if other.appearance is layer.appearance and k != number]
            seen_with = area[visible >= MIN_PROMPT_AREA][:, twins]
            holds = {
                "small": visible[visible > 0].mean() < SMALL_SHARE * scene.height * scene.width,
                "fast": _mean_way(centre[:, number]) > FAST_SHARE * min(scene.height, scene.width),
                "occluded": bool(((alone >= MIN_PROMPT_AREA) & (visible < 0.5 * alone)).any()),
                "look-alike": bool((seen_with >= MIN_PROMPT_AREA).any()),
                "late": layer.entry > 0,
                "re-appearing": _reappears(visible),
            }
            found[layer.object_id] = frozenset(name for name, true in holds.items() if true)
    return found


def _measured(scene: Scene, length: int) -> tuple[Int[np.ndarray, "T L"], Float[np.ndarray, "T L 2"]]:
    """Visible area and centroid (NaN where there is none) of every layer in every frame."""
    layers = len(scene.layers) + 1
    y, x = np.indices((scene.height, scene.width), dtype=float).reshape(2, -1)
    area, centre = np.zeros((length, layers), np.int64), np.full((length, layers, 2), math.nan)
    for t in range(length):
        flat = scene.layer_map(t).ravel()
        area[t] = np.bincount(flat, minlength=layers)
        sums = np.stack([np.bincount(flat, weights=axis, minlength=layers) for axis in (x, y)], axis=1)
        np.divide(sums, area[t][:, None], out=centre[t], where=area[t][:, None] > 0)
    return area[:, 1:], centre[:, 1:]


def _mean_way(centre: Float[np.ndarray, "T 2"]) -> float:
    """Mean distance between the centroids of neighbouring frames that both show the object."""
    way = np.linalg.norm(np.diff(centre, axis=0), axis=1)
    way = way[~np.isnan(way)]
    return float(way.mean()) if way.size else 0.0


def _reappears(visible: Int[np.ndarray, " T"]) -> bool:
    """Visible, later not at all, later again."""
    shown = np.flatnonzero(visible)
    return bool((np.diff(shown) > 1).any())
