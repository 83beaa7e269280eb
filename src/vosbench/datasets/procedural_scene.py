"""One scene of the procedural set: layers of textured shapes over a textured background, drawn for any frame."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8, UInt16

from vosbench.datasets.procedural_motion import Camera, Light, Motion
from vosbench.datasets.procedural_shapes import Contours

_SUBPIXEL_BITS = 4  # contours are drawn at a sixteenth of a pixel, so that slow motion does not jump

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels, half open


class Appearance:
    """What a thing looks like: its shape (of area one), family and texture. Things that share one are look-alikes."""

    def __init__(self, family: str, contours: Contours, texture: UInt8[np.ndarray, "S S 3"]) -> None:
        self.family = family
        self.texture = texture
        self.points = np.concatenate(contours)
        self.cuts = np.cumsum([len(contour) for contour in contours])[:-1]
        angle = np.arctan2(self.points[:, 1], self.points[:, 0])
        self.waves = np.stack([np.cos(2 * angle), np.sin(2 * angle), np.cos(3 * angle), np.sin(3 * angle)], axis=1)


@dataclass(frozen=True)
class Layer:
    """One thing of a scene. Object 0 is not annotated: clutter, a distractor, an occluder."""

    appearance: Appearance
    motion: Motion
    diameter: float  # pixels, of the disc of equal area
    object_id: int
    entry: int  # frame from which on it exists

    @property
    def unit(self) -> float:
        """Pixels per unit of length of the shape."""
        return self.diameter * math.sqrt(math.pi / 4)

    def pose(self, camera: Camera, t: int) -> tuple[Float[np.ndarray, "2 2"], Float[np.ndarray, "2"]]:
        """Matrix and offset that take a point of the shape to the frame at time t."""
        view, shift = camera.view(t)
        return view @ self.motion.linear(t) * self.unit, view @ np.array(self.motion.centre(t)) + shift

    def outline(self, camera: Camera, t: int) -> Float[np.ndarray, "P 2"]:
        """All contour points in pixels of frame t."""
        matrix, shift = self.pose(camera, t)
        bulged = self.appearance.points * (1 + self.appearance.waves @ self.motion.bulges(t))[:, None]
        return bulged @ matrix.T + shift

    def draw(self, canvas: np.ndarray, outline: Float[np.ndarray, "P 2"], value: int) -> None:
        """Fill the shape (not its holes) into a canvas of any integer type."""
        fixed = np.round(outline * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        cv2.fillPoly(canvas, np.split(fixed, self.appearance.cuts), (value,), shift=_SUBPIXEL_BITS)


class Scene:
    """Layers from the lowest to the topmost over a background. Frame t is a function of the scene and t alone."""

    def __init__(
        self,
        size: tuple[int, int],
        background: UInt8[np.ndarray, "A B 3"],
        camera: Camera,
        layers: list[Layer],
        light: Light,
        grain: UInt8[np.ndarray, "C D 3"],
    ) -> None:
        self.height, self.width = size
        self.background, self.camera, self.layers, self.light, self.grain = background, camera, layers, light, grain
        self._last: tuple[int, UInt16[np.ndarray, "H W"], list[Box]] | None = None

    def layer_map(self, t: int) -> UInt16[np.ndarray, "H W"]:
        """Which layer is on top in each pixel: 0 background, else 1 + its place in `layers`."""
        return self._drawn(t)[0].copy()

    def label_map(self, t: int) -> UInt8[np.ndarray, "H W"]:
        """Which object is on top in each pixel; whatever is not annotated is background."""
        ids = np.array([0, *(layer.object_id for layer in self.layers)], dtype=np.uint8)
        return ids[self._drawn(t)[0]]

    def image(self, t: int) -> UInt8[np.ndarray, "H W 3"]:
        """The picture of frame t: every visible pixel of a layer takes its texture, then lens blur and grain."""
        layer_map, boxes = self._drawn(t)
        image = self._background(t)
        for number, (layer, (x0, y0, x1, y1)) in enumerate(zip(self.layers, boxes, strict=True), start=1):
            mask = (layer_map[y0:y1, x0:x1] == number).view(np.uint8)
            if mask.any():
                matrix, shift = layer.pose(self.camera, t)
                patch = _pasted(
                    layer.appearance.texture, matrix / layer.unit, shift - [x0, y0], layer.diameter, (x1 - x0, y1 - y0)
                )
                cv2.copyTo(patch, mask, image[y0:y1, x0:x1])
        return self._through_the_lens(image, t)

    def area_alone(self, layer: Layer, t: int) -> int:
        """Pixels of the frame that a layer would cover if nothing stood before it."""
        canvas = np.zeros((self.height, self.width), np.uint8)
        if t >= layer.entry:
            layer.draw(canvas, layer.outline(self.camera, t), 1)
        return int(np.count_nonzero(canvas))

    def _drawn(self, t: int) -> tuple[UInt16[np.ndarray, "H W"], list[Box]]:
        # The last frame's map is kept: image and label map of one frame are asked for one after the other.
        last = self._last
        if last is None or last[0] != t:
            layer_map = np.zeros((self.height, self.width), np.uint16)
            boxes: list[Box] = []
            for number, layer in enumerate(self.layers, start=1):
                outline = layer.outline(self.camera, t)
                boxes.append(self._box(outline) if t >= layer.entry else (0, 0, 0, 0))
                if boxes[-1][2] > boxes[-1][0] and boxes[-1][3] > boxes[-1][1]:
                    layer.draw(layer_map, outline, number)
            last = self._last = (t, layer_map, boxes)
        return last[1], last[2]

    def _box(self, outline: Float[np.ndarray, "P 2"]) -> Box:
        """What of the frame an outline may touch, one pixel wider for the rounding."""
        (left, top), (right, bottom) = outline.min(axis=0), outline.max(axis=0)
        x0, y0 = max(0, math.floor(left) - 1), max(0, math.floor(top) - 1)
        return x0, y0, max(x0, min(self.width, math.ceil(right) + 2)), max(y0, min(self.height, math.ceil(bottom) + 2))

    def _background(self, t: int) -> UInt8[np.ndarray, "H W 3"]:
        matrix, shift = self.camera.view(t)
        slid = shift + matrix @ (np.array(self.camera.slide) * t)
        inverse = np.linalg.inv(matrix)
        warp = np.column_stack([inverse, -inverse @ slid])
        size, flags = (self.width, self.height), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(self.background, warp, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101)

    def _through_the_lens(self, image: UInt8[np.ndarray, "H W 3"], t: int) -> UInt8[np.ndarray, "H W 3"]:
        """The light of the moment, a soft edge between layers, and grain that differs from frame to frame."""
        image = cv2.LUT(image, self.light.table(t))
        image = cv2.GaussianBlur(image, (3, 3), 0.6)
        rows, columns = self.grain.shape[0] - self.height, self.grain.shape[1] - self.width
        for way, step in ((cv2.add, 7), (cv2.subtract, 11)):
            y, x = step * t % (rows + 1), step * (t + 3) % (columns + 1)
            image = way(image, self.grain[y : y + self.height, x : x + self.width])
        return image


def _pasted(
    texture: UInt8[np.ndarray, "S S 3"],
    turn: Float[np.ndarray, "2 2"],
    centre: Float[np.ndarray, "2"],
    diameter: float,
    size: tuple[int, int],
) -> UInt8[np.ndarray, "H W 3"]:
    """The texture's middle at `centre`, turned, over a patch of (width, height); beyond its edge it is mirrored.

    A texture spans one and a half diameters, so a look-alike of another size carries the same pattern, scaled.
    """
    inverse = np.linalg.inv(turn) * (texture.shape[0] / (1.5 * diameter))
    warp = np.column_stack([inverse, texture.shape[0] / 2 - inverse @ centre])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(texture, warp, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
