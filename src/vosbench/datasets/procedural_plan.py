"""From knobs and a random stream to one scene of the procedural set: who is in it, how it moves, who hides whom."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from vosbench.datasets.procedural_knobs import MIN_PROMPT_AREA, SHORTEST_STORY, Knobs
from vosbench.datasets.procedural_motion import Camera, Excursion, Light, Motion, Point, wave
from vosbench.datasets.procedural_scene import Appearance, Layer, Scene
from vosbench.datasets.procedural_shapes import shape
from vosbench.datasets.procedural_textures import faded, palette, shuffled, texture
from vosbench.errors import ConfigError

MIN_PROMPT_SHARE = 0.5  # of its whole area an object shows at least this much in the frame of its prompt
_TRIES = 60  # places tried for one object before the request counts as impossible
_STORY = 48  # frames of a long sequence in which an object leaves and comes back at most once
CAST = 0.3  # change of a colour beside that of the brightness
_GRAIN_SLACK = 24  # pixels by which the grain exceeds a frame, so that it is cut differently each time

Look = tuple[Appearance, float]  # and its diameter in pixels


class Prompts:
    """What of each object shows in the frame of its prompt, while layers are put in from the topmost down."""

    def __init__(self, height: int, width: int, camera: Camera, frames: set[int]) -> None:
        self.camera = camera
        self.covered = {frame: np.zeros((height, width), bool) for frame in frames}
        self.shown: list[tuple[int, Bool[np.ndarray, "H W"], int]] = []  # frame, visible mask, pixels needed

    def mask(self, layer: Layer, frame: int) -> Bool[np.ndarray, "H W"]:
        """The layer alone, as far as it lies in the frame."""
        canvas = np.zeros(self.covered[frame].shape, np.uint8)
        layer.draw(canvas, layer.outline(self.camera, frame), 1)
        return canvas.view(bool)

    def put_below(self, layer: Layer) -> bool:
        """Put a layer under all others; False, and nothing done, if it is an object whose prompt would be too small."""
        if layer.object_id:
            shown = self.mask(layer, layer.entry) & ~self.covered[layer.entry]
            needed = max(MIN_PROMPT_AREA, int(MIN_PROMPT_SHARE * layer.unit**2))
            if np.count_nonzero(shown) < needed:
                return False
            self.shown.append((layer.entry, shown, needed))
        for frame in self.covered:
            if frame >= layer.entry:
                self.covered[frame] |= self.mask(layer, frame)
        return True

    def put_above(self, layer: Layer) -> bool:
        """Put a layer over all others; False, and nothing done, if it would hide a prompt."""
        left = [(frame, shown & ~self.mask(layer, frame), needed) for frame, shown, needed in self.shown]
        if any(np.count_nonzero(shown) < needed for _, shown, needed in left):
            return False
        self.shown = left
        return True


class Planner:
    """Draws one scene. The order of its draws defines the set: to change it is to change every picture.

    Object k takes its family from the k-th list of `families`, in turn; `where` names the sequence in errors.
    """

    def __init__(
        self, rng: np.random.Generator, *, knobs: Knobs, families: list[list[str]], size: tuple[int, int], length: int, where: str
    ) -> None:
        self.rng, self.knobs, self.families, self.length, self.where = rng, knobs, families, length, where
        self.height, self.width = size
        self.side = float(min(size))
        self.colours = palette(rng)

    def scene(self) -> Scene:
        """Objects and clutter in random depth before a background, and occluders before them all."""
        rng = self.rng
        cell = self.side * rng.uniform(0.12, 0.4)
        dye = faded(self.colours, self.knobs.background_contrast)
        background = texture(rng, int(self.height * 1.25), int(self.width * 1.25), cell, dye)
        camera = self._camera()
        count = int(rng.integers(self.knobs.objects[0], self.knobs.objects[1] + 1))
        entries = [0, *sorted(self._entry() for _ in range(count - 1))]  # ids follow the order of entry, depth does not
        prompts = Prompts(self.height, self.width, camera, set(entries))
        layers = list(self._cast(entries, prompts))
        occluders = [self._occluder(layer, prompts) for layer in layers if layer.object_id and self._chance(self.knobs.occluders)]
        shape = (self.height + _GRAIN_SLACK, self.width + _GRAIN_SLACK, 3)
        grain = (rng.random(shape, dtype=np.float32) * (self.knobs.grain + 1)).astype(np.uint8)
        cast = CAST * self.knobs.light
        light = Light(wave(rng, self.knobs.light), (wave(rng, cast), wave(rng, cast), wave(rng, cast)))
        front = [layer for layer in occluders if layer is not None]
        return Scene((self.height, self.width), background, camera, layers[::-1] + front, light, grain)

    def _chance(self, chance: float) -> bool:
        return bool(self.rng.random() < chance)

    def _entry(self) -> int:
        return int(self.rng.integers(3, self.length - 5)) if self._chance(self.knobs.late) else 0

    def _direction(self, length: float) -> Point:
        angle = self.rng.uniform(0, 2 * np.pi)
        return float(length * np.cos(angle)), float(length * np.sin(angle))

    def _camera(self) -> Camera:
        rng, strength = self.rng, self.knobs.camera
        shake = 0.03 * self.side * strength
        return Camera(
            centre=(self.width / 2, self.height / 2),
            shift=(wave(rng, shake), wave(rng, shake)),
            roll=wave(rng, np.deg2rad(3.0) * strength),
            zoom=wave(rng, 0.05 * strength),
            slide=self._direction(0.015 * self.side * strength * rng.random()),
        )

    def _cast(self, entries: list[int], prompts: Prompts) -> Iterator[Layer]:
        """Objects and clutter from the topmost down, each object where its prompt can be seen."""
        rng, knobs = self.rng, self.knobs
        looks: list[Look] = []
        for number in range(len(entries)):
            twin = number > 0 and self._chance(knobs.lookalike_objects)
            looks.append(self._twin(looks) if twin else self._look(self.families[number % len(self.families)]))
        extras = [self._look(self.families[0]) for _ in range(int(rng.integers(knobs.clutter[0], knobs.clutter[1] + 1)))]
        if self._chance(knobs.lookalike_distractors):
            extras.append(self._twin(looks))
        cast = [(look, number + 1, entries[number]) for number, look in enumerate(looks)] + [(look, 0, 0) for look in extras]
        for place in rng.permutation(len(cast)):
            yield self._placed(*cast[int(place)], prompts)

    def _look(self, families: list[str], scale: float = 1.0) -> Look:
        rng = self.rng
        family = families[int(rng.integers(len(families)))]
        small, large = self.knobs.size
        # Uniform in the logarithm: without it, small objects would be rare.
        diameter = float(self.side * scale * small * (large / small) ** rng.random())
        colours = shuffled(self.colours, rng) if self._chance(self.knobs.shared_palette) else palette(rng)
        pixels = max(8, round(1.5 * diameter))
        skin = texture(rng, pixels, pixels, diameter * rng.uniform(0.2, 0.6), colours)
        return Appearance(family, shape(family, rng), skin), diameter

    def _twin(self, looks: list[Look]) -> Look:
        appearance, diameter = looks[int(self.rng.integers(len(looks)))]
        return appearance, max(diameter * float(self.rng.uniform(0.9, 1.1)), self.side * float(self.knobs.size[0]))

    def _placed(self, look: Look, object_id: int, entry: int, prompts: Prompts) -> Layer:
        """The look set in motion, under all layers so far."""
        for _ in range(_TRIES):
            motion = self._motion(look[1])
            if entry > 0:
                motion = replace(motion, excursions=(self._arrival(motion, entry, look[1]),))
            elif object_id:
                motion = replace(motion, excursions=self._ways_out(motion, look[1]))
            layer = Layer(look[0], motion, look[1], object_id, entry)
            if prompts.put_below(layer):
                return layer
        raise ConfigError(
            f"{self.where}: no place is left where object {object_id} shows {MIN_PROMPT_AREA} pixels and half of itself in "
            f"a frame of {self.height}x{self.width}; ask for fewer or smaller objects (objects={list(self.knobs.objects)}, "
            f"size={list(self.knobs.size)}) or larger frames."
        )

    def _motion(self, diameter: float) -> Motion:
        rng, knobs = self.rng, self.knobs
        speed = self.side * rng.uniform(knobs.speed[0], knobs.speed[1])
        bulge = [wave(rng, knobs.deformation * rng.random() / 2) for _ in range(4)]
        return Motion(
            start=(float(rng.uniform(0.12, 0.88) * self.width), float(rng.uniform(0.12, 0.88) * self.height)),
            velocity=self._direction(speed),
            low=(0.12 * self.width, 0.12 * self.height),
            high=(0.88 * self.width, 0.88 * self.height),
            sway=(wave(rng, 1.5 * speed * rng.random()), wave(rng, 1.5 * speed * rng.random())),
            angle=float(rng.uniform(-0.6, 0.6)),
            spin=float(np.deg2rad(rng.uniform(-knobs.spin, knobs.spin))),
            breath=wave(rng, knobs.deformation * rng.random()),
            bulge=(bulge[0], bulge[1], bulge[2], bulge[3]),
        )

    def _to_the_edge(self, place: Point) -> tuple[Point, float]:
        """Direction to the nearest edge of the frame, and the way there."""
        (x, y), right, bottom = place, self.width, self.height
        ways = {(-1.0, 0.0): x, (1.0, 0.0): right - x, (0.0, -1.0): y, (0.0, 1.0): bottom - y}
        way = min(ways, key=lambda direction: ways[direction])
        return way, ways[way]

    def _arrival(self, motion: Motion, entry: int, diameter: float) -> Excursion:
        """From the edge inwards: in its first frame a little more than half of the object has come in."""
        way, far = self._to_the_edge(motion.home(entry))
        offset = max(0.0, far - 0.2 * diameter)
        return Excursion((way[0] * offset, way[1] * offset), float("-inf"), float(entry), float(self.rng.uniform(4, 8)))

    def _ways_out(self, motion: Motion, diameter: float) -> tuple[Excursion, ...]:
        """Out of the frame and back, at most once in each story of the sequence."""
        ways = []
        for begin in range(0, self.length - SHORTEST_STORY + 1, _STORY):
            frames = min(_STORY, self.length - begin)
            ramp = min(8.0, 0.22 * frames)
            leave = begin + frames * self.rng.uniform(0.1, 0.25)
            back = begin + frames * self.rng.uniform(0.55, 0.68)
            if self._chance(self.knobs.excursions):
                way, _ = self._to_the_edge(motion.home((leave + back + ramp) / 2))
                absent = np.arange(leave + 0.8 * ramp, back + 0.2 * ramp)
                far = max(self._beyond(motion.home(float(t)), way) for t in absent)
                offset = far + diameter + 0.1 * self.side * self.knobs.camera
                ways.append(Excursion((way[0] * offset, way[1] * offset), float(leave), float(back), ramp))
        return tuple(ways)

    def _beyond(self, place: Point, way: Point) -> float:
        """How far it is from a place to the frame's edge in one of the four directions."""
        along = place[0] * way[0] + place[1] * way[1]
        return max(0.0, way[0]) * self.width + max(0.0, way[1]) * self.height - along

    def _occluder(self, target: Layer, prompts: Prompts) -> Layer | None:
        """Something larger that meets the target at a random moment; None if it hides a prompt wherever it comes from."""
        rng = self.rng
        appearance, _ = self._look(self.families[0])
        for _ in range(_TRIES // 4):
            diameter = target.diameter * float(rng.uniform(1.1, 1.8))
            moment = self.length * float(rng.uniform(0.2, 0.9))
            x, y = target.motion.centre(moment)
            velocity = self._direction(self.side * rng.uniform(0.03, 0.06))
            motion = replace(
                self._motion(diameter),
                start=(x - velocity[0] * moment, y - velocity[1] * moment),
                velocity=velocity,
                low=(-diameter, -diameter),
                high=(self.width + diameter, self.height + diameter),
            )
            layer = Layer(appearance, motion, diameter, 0, 0)
            if prompts.put_above(layer):
                return layer
        return None
