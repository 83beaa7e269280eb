"""Augmentation of a clip: geometry for images and label maps alike, then colour (STMA spec 6.3, AOT 6.4, LGDK 6.5, QMRA 6)."""

from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from vosbench.clips.geometry import GeometryStep, Matrix, frame_matrices, shift
from vosbench.clips.photometry import Photometry
from vosbench.clips.source import drawn_seed
from vosbench.clips.thin_plate import ThinPlateWarp
from vosbench.errors import ConfigError

FILL = (124, 116, 104)  # mean colour of ImageNet, RGB: what the camera would see outside the image


@runtime_checkable
class Augmentation(Protocol):
    """Changes the frames and label maps of one clip; a pure function of its arguments."""

    def __call__(
        self, frames: UInt8[np.ndarray, "T H W 3"], label_maps: UInt8[np.ndarray, "T H W"], seed: int
    ) -> tuple[UInt8[np.ndarray, "T S S 3"], UInt8[np.ndarray, "T S S"]]: ...


class VideoTransform:
    """Cuts a crop of `crop` x `crop` pixels out of every frame of a clip.

    `geometry` lists the random steps in their published order, at least one of which crops; `warp` bends each frame of its own;
    `shared` changes the colours of all frames alike, `per_frame` those of each frame anew. Images are read bilinearly, label maps
    take the nearest label.

    Decision: all steps are composed and every frame is resampled once, so a rotation after a crop shows the image beyond the
    crop's edge where the published chains, which resample at every step, show fill; fill remains beyond the image itself.
    """

    def __init__(
        self,
        crop: int,
        geometry: list[GeometryStep],
        *,
        warp: ThinPlateWarp | None = None,
        shared: Photometry | None = None,
        per_frame: Photometry | None = None,
    ) -> None:
        if not any(step.crops for step in geometry):
            raise ConfigError("geometry has no step that crops, so clips would differ in size; add AreaCrop or ScaledCrop.")
        self.crop, self.geometry, self.warp = crop, geometry, warp
        self.shared, self.per_frame = shared, per_frame

    def __call__(
        self, frames: UInt8[np.ndarray, "T H W 3"], label_maps: UInt8[np.ndarray, "T H W"], seed: int
    ) -> tuple[UInt8[np.ndarray, "T S S 3"], UInt8[np.ndarray, "T S S"]]:
        generator = np.random.default_rng(seed)
        shared_seed, frame_seed = drawn_seed(generator), drawn_seed(generator)
        size = (frames.shape[1], frames.shape[2])
        matrices = frame_matrices(self.geometry, size, self.crop, len(frames), generator)
        image = np.empty((len(frames), self.crop, self.crop, 3), dtype=np.uint8)
        label_map = np.empty((len(frames), self.crop, self.crop), dtype=np.uint8)
        for t, matrix in enumerate(matrices):
            bend = self.warp.displacement(self.crop, generator) if self.warp else None
            image[t] = resampled(frames[t], matrix, bend, crop=self.crop, interpolation=cv2.INTER_LINEAR, fill=FILL)
            label_map[t] = resampled(label_maps[t], matrix, bend, crop=self.crop, interpolation=cv2.INTER_NEAREST, fill=(0,))
        if self.shared:
            image = self.shared.same_for_all(image, shared_seed)
        if self.per_frame:
            image = self.per_frame.frame_by_frame(image, frame_seed)
        return image, label_map


def resampled(
    source: UInt8[np.ndarray, "H W *C"],
    matrix: Matrix,
    bend: Float[np.ndarray, "S S 2"] | None,
    *,
    crop: int,
    interpolation: int,
    fill: tuple[int, ...],
) -> UInt8[np.ndarray, "S S *C"]:
    """The crop of one frame: each of its pixels is looked up at ``inverse(matrix)`` of its position plus `bend`."""
    if interpolation != cv2.INTER_NEAREST:
        source, matrix = shrunk(source, matrix)
    # OpenCV counts positions from the centre of the first pixel, we from its corner.
    inverse = (shift(-0.5, -0.5) @ np.linalg.inv(matrix) @ shift(0.5, 0.5))[:2]
    if bend is None:
        flags = interpolation | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(source, inverse, (crop, crop), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=fill)
    rows, columns = np.indices((crop, crop), dtype=np.float32)
    position = np.stack([columns, rows], axis=-1) + bend
    looked_up = (position @ inverse[:, :2].T + inverse[:, 2]).astype(np.float32)
    return cv2.remap(  # type: ignore[call-overload]  # the second map may be None, its annotation forgot
        source, looked_up, None, interpolation, borderMode=cv2.BORDER_CONSTANT, borderValue=fill
    )


def shrunk(source: UInt8[np.ndarray, "H W *C"], matrix: Matrix) -> tuple[UInt8[np.ndarray, "h w *C"], Matrix]:
    """The same look-up in an image already reduced by area averaging, where the crop reduces it to less than half.

    Bilinear look-up reads four pixels; a still of 4,000 pixels taken to 384 would alias.
    """
    factor = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    if factor > 0.5:
        return source, matrix
    height, width = source.shape[:2]
    new_height, new_width = max(1, round(height * factor)), max(1, round(width * factor))
    reduced = cv2.resize(source, (new_width, new_height), interpolation=cv2.INTER_AREA)
    return reduced, matrix @ np.diag([width / new_width, height / new_height, 1.0])
