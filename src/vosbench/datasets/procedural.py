"""The embedded default data set: videos and stills drawn on the fly from a seed, without a file.

Textured shapes of several families move, turn and deform before textured, moving backgrounds; some look alike, some pass
behind others, leave the frame and come back, or enter late. Frame t of sequence i is a pure function of (seed, i, t).
"""

from collections import abc
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import UInt8

from vosbench.datasets.procedural_attributes import attributes
from vosbench.datasets.procedural_knobs import Knobs
from vosbench.datasets.procedural_plan import Planner
from vosbench.datasets.procedural_scene import Scene
from vosbench.datasets.procedural_shapes import FAMILIES
from vosbench.errors import ConfigError
from vosbench.video.sequence import Sequence, SequenceObject
from vosbench.video.still import Still

SEEN = ("ellipse", "polygon", "star", "blob", "cross", "ring", "bar")
UNSEEN = ("crescent", "letter", "gear", "heart", "arrow")

# Kinds of pictures draw from streams of their own, so that a seed shared by two of them repeats nothing.
_STREAM = {"train": 0, "val": 1, "still": 2}


class ProceduralFrames:
    """The images of one sequence, drawn when asked for."""

    def __init__(self, scene: Scene, length: int) -> None:
        self.names = [f"{t:05d}" for t in range(length)]
        self._scene = scene

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, frame_index: int) -> UInt8[np.ndarray, "H W 3"]:
        return self._scene.image(range(len(self))[frame_index])


class ProceduralLabelMaps(Mapping[int, UInt8[np.ndarray, "H W"]]):
    """The label maps of one sequence, one for every frame, drawn when asked for."""

    def __init__(self, scene: Scene, length: int) -> None:
        self._scene, self._length = scene, length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._length))

    def __getitem__(self, frame_index: int) -> UInt8[np.ndarray, "H W"]:
        if frame_index not in range(self._length):
            raise KeyError(frame_index)
        return self._scene.label_map(frame_index)


class ProceduralVideos:
    """A split of videos. Training shows the seen families alone; validation takes seen and unseen ones in turn.

    With `with_attributes`, objects carry what the whole sequence shows of them (small, fast, occluded, look-alike, late,
    re-appearing); that draws every label map once, which training has no use for.
    """

    protocol = "ytvos"
    annotation_step = 1

    def __init__(
        self,
        split: str = "train",  # or "val"
        *,
        size: int | abc.Sequence[int] = 128,  # side of square frames, or [H, W]
        length: int = 24,  # frames of a sequence
        count: int = 10_000,  # sequences
        seed: int = 0,
        knobs: Knobs | None = None,
        families_seen: abc.Sequence[str] = SEEN,
        families_unseen: abc.Sequence[str] = UNSEEN,
        with_attributes: bool = False,
    ) -> None:
        if split not in ("train", "val"):
            raise ConfigError(f"split={split!r} of the procedural set does not exist; use 'train' or 'val'.")
        self.name = f"procedural/{split}"
        self.size = _frame_size(size)
        self.split, self.length, self.count, self.seed, self.with_attributes = split, length, count, seed, with_attributes
        _check_counts(length=length, count=count, seed=seed)
        self.knobs = (knobs or Knobs()).checked(self.size, length)
        self.categories_seen = frozenset(families_seen)
        self.families = _families(list(families_seen), list(families_unseen))[: 1 if split == "train" else 2]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sequence:
        index = range(self.count)[index]
        name = f"procedural-{self.split}-{index:04d}"
        # Every other sequence of a split with unseen families begins with them: both get the same share.
        first = index % len(self.families)
        families = self.families[first:] + self.families[:first]
        scene = Planner(
            _stream(self.seed, self.split, index),
            knobs=self.knobs,
            families=families,
            size=self.size,
            length=self.length,
            where=name,
        ).scene()
        found = attributes(scene, self.length) if self.with_attributes else {}
        objects = [
            SequenceObject(layer.object_id, layer.entry, layer.appearance.family, found.get(layer.object_id, frozenset()))
            for layer in scene.layers
            if layer.object_id
        ]
        return Sequence(
            name=name,
            frames=ProceduralFrames(scene, self.length),
            label_maps=ProceduralLabelMaps(scene, self.length),
            objects=tuple(sorted(objects, key=lambda item: item.object_id)),
            size=self.size,
        )


class ProceduralStills:
    """Single pictures with their label maps, of the seen families: the raw material of pseudo-video."""

    name = "procedural/stills"

    def __init__(
        self,
        *,
        size: int | abc.Sequence[int] = 128,  # side of square pictures, or [H, W]
        count: int = 10_000,
        seed: int = 0,
        knobs: Knobs | None = None,
        families: abc.Sequence[str] = SEEN,
    ) -> None:
        self.size, self.count, self.seed = _frame_size(size), count, seed
        _check_counts(length=1, count=count, seed=seed)
        # Nothing can enter late or come back in a single picture.
        self.knobs = replace(knobs or Knobs(), late=0.0, excursions=0.0).checked(self.size, 1)
        self.families = _families(list(families), [])[:1]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Still:
        index = range(self.count)[index]
        name = f"procedural-still-{index:06d}"
        scene = Planner(
            _stream(self.seed, "still", index), knobs=self.knobs, families=self.families, size=self.size, length=1, where=name
        ).scene()
        return Still(name, scene.image(0), scene.label_map(0))


def _stream(seed: int, kind: str, index: int) -> np.random.Generator:
    return np.random.default_rng([seed, _STREAM[kind], index])


def _frame_size(size: int | abc.Sequence[int]) -> tuple[int, int]:
    sides = [size, size] if isinstance(size, int) else list(size)
    if len(sides) != 2 or min(sides) < 16:
        raise ConfigError(
            f"size={size} of the procedural set is not a frame's; give one side or [height, width], at least 16 pixels."
        )
    return sides[0], sides[1]


def _check_counts(length: int, count: int, seed: int) -> None:
    if length < 1 or count < 0 or seed < 0:
        raise ConfigError(
            f"length={length}, count={count}, seed={seed} of the procedural set cannot be: give a length of at least 1 and no "
            "negative count or seed."
        )


def _families(seen: list[str], unseen: list[str]) -> list[list[str]]:
    """The families to draw from: the seen ones and, where there are any, the unseen ones."""
    unknown = sorted({*seen, *unseen} - FAMILIES.keys())
    if unknown:
        raise ConfigError(f"shape families {unknown} do not exist in the procedural set; choose from {sorted(FAMILIES)}.")
    both = sorted(set(seen) & set(unseen))
    if both or not seen:
        raise ConfigError(
            f"families_seen={seen} and families_unseen={unseen} of the procedural set: name at least one seen family and "
            f"none twice, found {both} in both."
        )
    return [seen, unseen] if unseen else [seen]
