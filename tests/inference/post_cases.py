"""Methods that say what a test wants, and pictures of squares."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vosbench.inference.post.far_components import FarComponents
from vosbench.inference.post.small_objects import SmallObjects
from vosbench.layers.planes import planes_to_logits
from vosbench.layers.sizing import FullSizing, Sizing
from vosbench.methods.method import Features, Masks, Memory, Method, Prediction

FAR = FarComponents(gate=0.08, growth=0.02, limit=0.4, keep="all_near", min_area=0)
SMALL = SmallObjects(area=0.005, most=4, window=3.0, least=0.25, crop=97, ratio=4.0, reach=0.5)


def square(top: int, left: int, side: int, size: tuple[int, int] = (60, 80)) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def union(*masks: np.ndarray) -> np.ndarray:
    return np.any(masks, axis=0)


@dataclass
class Pixels(Features):
    """The images themselves."""

    image: Tensor


@dataclass
class Colours(Memory):
    """Mean colour of each object and of the background where they were prompted, and the masks of the frame before."""

    mean: Tensor | None = None
    previous: Tensor | None = None


class Scripted(Method):
    """Says what is written down for each frame, whatever it sees, and keeps what it is told to remember."""

    learns = False

    def __init__(self, script: dict[int, Tensor]) -> None:
        """`script`: probabilities (K, H, W) of frames."""
        super().__init__()
        self.script, self.frame = script, -1
        self.remembered: list[Masks] = []

    def sizing(self, height: int, width: int, long_edge: int | None, short_edge: int | None) -> Sizing:
        return FullSizing((height, width), (height, width), (height, width))

    def encode(self, frames: Tensor) -> Pixels:
        self.frame += 1
        return Pixels(frames)

    def start(self, batch: int, objects: int, size: tuple[int, int]) -> Memory:
        return Memory(objects, size)

    def grow(self, memory: Memory, objects: int) -> Memory:
        return replace(memory, objects=objects)

    def segment(self, features: Pixels, memory: Memory) -> Prediction:
        prob = self.script.get(self.frame, torch.zeros(memory.objects + 1, *memory.size))[None]
        return Prediction(planes_to_logits(F.pad(prob[:, 1:], (0, 0, 0, 0, 0, memory.objects + 1 - prob.shape[1]))))

    def memorize(self, features: Pixels, prediction: Prediction, masks: Masks, memory: Memory, frame: int) -> Memory:
        self.remembered.append(masks)
        return memory


def saying(frames: list[dict[int, np.ndarray]], prob: float = 0.6) -> Scripted:
    """A method that gives `prob` to each object's mask, by object 1..N, and 0.01 to it elsewhere; frame 0 is not asked for."""
    objects = max(max(masks, default=1) for masks in frames)
    script = {}
    for number, masks in enumerate(frames, start=1):
        planes = torch.full((objects, 60, 80), 0.01)
        for label, mask in masks.items():
            planes[label - 1][torch.from_numpy(mask)] = prob
        script[number] = torch.cat([1 - planes.sum(0, keepdim=True), planes])
    return Scripted(script)


@dataclass
class Counts:
    """What a method was asked to do."""

    encoded: list[int] = field(default_factory=list)  # images of each call
    sizes: list[tuple[int, int]] = field(default_factory=list)
    objects: list[int] = field(default_factory=list)  # of each memory that was started
    images: Tensor | None = None  # of the last call


class Coarse(Method):
    """Labels cells of 4 x 4 pixels by the nearer of the mean colours: what is small is lost unless it is enlarged."""

    learns = False

    def __init__(self) -> None:
        super().__init__()
        self.counts = Counts()

    def encode(self, frames: Tensor) -> Pixels:
        self.counts.encoded.append(len(frames))
        self.counts.images = frames
        self.counts.sizes.append((frames.shape[2], frames.shape[3]))
        return Pixels(frames)

    def start(self, batch: int, objects: int, size: tuple[int, int]) -> Colours:
        self.counts.objects.append(objects)
        return Colours(objects, size)

    def grow(self, memory: Colours, objects: int) -> Colours:
        more = objects - memory.objects
        return replace(
            memory, objects=objects, mean=None if memory.mean is None else F.pad(memory.mean, (0, 0, 0, more), value=-9)
        )

    def segment(self, features: Pixels, memory: Colours) -> Prediction:
        cells = F.avg_pool2d(features.image, 4)
        if memory.mean is None:
            return Prediction(torch.zeros(len(cells), memory.objects + 1, *cells.shape[2:]))
        distance = (cells[:, None] - memory.mean[:, :, :, None, None]).square().sum(2)
        return Prediction(-8 * distance)

    def memorize(self, features: Pixels, prediction: Prediction, masks: Masks, memory: Colours, frame: int) -> Colours:
        if not bool(masks.given.any()):
            return replace(memory, previous=masks.prob)
        weight = masks.prob[:, :, None]
        mean = (weight * features.image[:, None]).sum((3, 4)) / weight.sum((3, 4)).clamp(min=1e-6)
        given = F.pad(masks.given, (1, 0), value=True)[:, :, None]
        old = mean if memory.mean is None else memory.mean
        return replace(memory, mean=torch.where(given, mean, old), previous=masks.prob)


COLOURS = {0: (40, 150, 40), 1: (230, 30, 30), 2: (30, 30, 230), 3: (230, 230, 30)}


def painted(objects: dict[int, np.ndarray], size: tuple[int, int] = (96, 128)) -> np.ndarray:
    """An image in which every object has its colour."""
    image = np.empty((*size, 3), np.uint8)
    image[:] = COLOURS[0]
    for label, mask in objects.items():
        image[mask] = COLOURS[label]
    return image
