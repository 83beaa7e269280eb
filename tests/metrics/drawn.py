"""What the tests of this folder share: drawn label maps, the goldens, and J and F by plain loops."""

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.shared import SHARED

GOLDENS = "goldens/metrics.json"
TOLERANCE = 1e-12


def label_map(rows: Iterable[str]) -> np.ndarray:
    """`.` is 0, a digit its label, `?` is 255."""
    return np.array([[{".": 0, "?": 255}.get(sign) if sign in ".?" else int(sign) for sign in row] for row in rows], np.uint8)


@lru_cache(maxsize=1)
def golden() -> dict[str, Any]:
    return json.loads((SHARED / GOLDENS).read_text())


def golden_cases() -> list[Any]:
    return golden()["frame_cases"] if (SHARED / GOLDENS).exists() else []


def save(folder: Path, names: Sequence[str], maps: Iterable[np.ndarray]) -> None:
    """Label maps as gray PNGs."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, drawn in zip(names, maps, strict=True):
        Image.fromarray(drawn).save(folder / f"{name}.png")


def numbered(count: int) -> list[str]:
    return [f"{index:05d}" for index in range(count)]


def slow_boundary(mask: np.ndarray) -> list[tuple[int, int]]:
    """Pixels that differ from east, south or south-east, last row and column repeated once."""
    repeated = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    return [
        (y, x)
        for y in range(mask.shape[0])
        for x in range(mask.shape[1])
        if any(repeated[y, x] != repeated[y + dy, x + dx] for dy, dx in ((0, 1), (1, 0), (1, 1)))
    ]


def slow_scores(truth: np.ndarray, predicted: np.ndarray, radius: int) -> tuple[float, float]:
    """J and F by loops and squared integer distances."""
    union = int((truth | predicted).sum())
    j = int((truth & predicted).sum()) / union if union else 1.0
    of_truth, of_prediction = slow_boundary(truth), slow_boundary(predicted)
    if not of_truth or not of_prediction:
        return j, float(len(of_truth) == len(of_prediction))
    precision = near(of_prediction, of_truth, radius) / len(of_prediction)
    recall = near(of_truth, of_prediction, radius) / len(of_truth)
    return j, 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def near(points: list[tuple[int, int]], others: list[tuple[int, int]], radius: int) -> int:
    return sum(any((y - v) ** 2 + (x - u) ** 2 <= radius**2 for v, u in others) for y, x in points)


def blobs(seed: int, height: int, width: int, labels: int = 1) -> np.ndarray:
    """A random label map of rectangles and specks."""
    rng = np.random.default_rng(seed)
    drawn = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(0, 5))):
        top, left = rng.integers(0, height), rng.integers(0, width)
        drawn[top : top + rng.integers(1, height + 1), left : left + rng.integers(1, width + 1)] = rng.integers(0, labels + 1)
    specks = rng.random((height, width)) < rng.choice([0.0, 0.02])
    return np.where(specks, rng.integers(0, labels + 1, (height, width)), drawn).astype(np.uint8)


def diagonal_radius(height: int, width: int) -> int:
    return int(np.ceil(0.008 * sqrt(height**2 + width**2)))
