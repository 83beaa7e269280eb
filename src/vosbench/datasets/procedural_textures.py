"""Textures of the procedural set: a pattern of the plane, coloured by a small palette."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

PATTERNS = ("stripes", "checks", "rings", "dots", "marble", "mosaic")

Palette = UInt8[np.ndarray, "S 3"]


def palette(rng: np.random.Generator) -> Palette:
    """Three RGB colours of any hue, at dark, middle and bright value in any order, so that every palette has contrast."""
    hue, saturation = rng.uniform(0, 180, 3), rng.uniform(40, 220, 3)
    value = rng.permutation([70.0, 145.0, 220.0]) + rng.uniform(-30, 30, 3)
    hsv = np.stack([hue, saturation, value], axis=1).astype(np.uint8)
    return cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0]


def shuffled(colours: Palette, rng: np.random.Generator) -> Palette:
    """The same colours in another order, slightly off: what shares a palette cannot be told apart by colour alone."""
    jitter = rng.integers(-14, 15, colours.shape)
    return np.clip(rng.permutation(colours).astype(np.int64) + jitter, 0, 255).astype(np.uint8)


def faded(colours: Palette, contrast: float) -> Palette:
    """The palette drawn towards its mean colour; contrast 1.0 leaves it as it is."""
    mean = colours.mean(axis=0)
    return (mean + contrast * (colours - mean)).astype(np.uint8)


def _noise(rng: np.random.Generator, height: int, width: int, cell: float) -> Float[np.ndarray, "H W"]:
    """Smooth noise in about [0, 1] that changes over `cell` pixels."""
    grid = rng.random((int(height / cell) + 2, int(width / cell) + 2), dtype=np.float32)
    return cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)


def _pattern(kind: str, rng: np.random.Generator, height: int, width: int, cell: float) -> Float[np.ndarray, "H W"]:
    """The pattern's level per pixel, in about [0, 1]; `cell` is its period in pixels."""
    if kind == "marble":
        return 0.7 * _noise(rng, height, width, cell) + 0.3 * _noise(rng, height, width, cell / 3)
    if kind == "mosaic":
        grid = rng.random((int(2 * height / cell) + 2, int(2 * width / cell) + 2), dtype=np.float32)
        return cv2.resize(grid, (width, height), interpolation=cv2.INTER_NEAREST)
    turn, phase = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi, 2)
    rows = np.arange(height, dtype=np.float32)[:, None] * np.float32(2 * np.pi / cell)
    columns = np.arange(width, dtype=np.float32)[None] * np.float32(2 * np.pi / cell)
    bend = 1.5 * _noise(rng, height, width, 2.5 * cell)  # so that no two periods are alike
    along = np.float32(np.cos(turn)) * columns + np.float32(np.sin(turn)) * rows + bend
    if kind == "rings":
        centre = rng.uniform(0.2, 0.8, 2)
        along = np.hypot(rows - rows[int(centre[0] * (height - 1))], columns - columns[0, int(centre[1] * (width - 1))]) + bend
    wave = np.sin(along + np.float32(phase[0]))
    if kind in ("checks", "dots"):
        across = np.float32(np.cos(turn)) * rows - np.float32(np.sin(turn)) * columns
        wave = wave * np.sin(across + np.float32(phase[1]))
    return 0.5 + (0.9 if kind == "dots" else 0.5) * wave


def texture(rng: np.random.Generator, height: int, width: int, cell: float, colours: Palette) -> UInt8[np.ndarray, "H W 3"]:
    """A random pattern of period `cell` pixels, dyed with the palette in flat steps or in a smooth ramp."""
    kind = PATTERNS[int(rng.integers(len(PATTERNS)))]
    level = _pattern(kind, rng, height, width, cell) + 0.15 * (_noise(rng, height, width, cell / 2) - 0.5)
    position = np.linspace(0, len(colours) - 1, 256)
    if rng.random() < 0.5:
        position = np.round(position)
    ramp = np.stack([np.interp(position, np.arange(len(colours)), colours[:, channel]) for channel in range(3)], axis=1)
    index = np.clip(level * 255, 0, 255).astype(np.uint8)
    return ramp.astype(np.uint8)[index]
