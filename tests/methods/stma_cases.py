"""A small STMA whose random weights are strong enough for every path to show, and videos to stream through it."""

from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

from vosbench.methods.method import Prompted
from vosbench.methods.stma.network import STMA
from vosbench.video.clip import Clip

CONF = Path(__file__).resolve().parents[2] / "conf" / "method"


def stma(*changes: str, size: str = "tiny", seed: int = 0) -> STMA:
    """The method of the YAML files with dotted changes, such as "memory.spatial=null"; eval mode, strong random weights."""
    files = OmegaConf.merge(OmegaConf.load(CONF / "size" / f"stma_{size}.yaml"), OmegaConf.load(CONF / "stma.yaml"))
    torch.manual_seed(seed)
    method = instantiate(OmegaConf.merge(files, OmegaConf.from_dotlist(list(changes))), _convert_="all")
    for module in [*method.stml.modules(), *(method.object.modules() if method.object else [])]:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=1.2 * module.in_features**-0.5)
            nn.init.normal_(module.bias, std=0.2)
    return method.eval()


def frames(length: int, size: tuple[int, int] = (48, 64), seed: int = 1) -> Tensor:
    """T frames of blurred noise that drifts, one video."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(1, 3, size[0] // 8, size[1] // 8 + length, generator=generator)
    wide = nn.functional.interpolate(noise, scale_factor=8, mode="bilinear")
    return torch.cat([wide[..., 3 * t : 3 * t + size[1]] for t in range(length)])


def block(rows: tuple[int, int], columns: tuple[int, int], size: tuple[int, int] = (48, 64)) -> Tensor:
    """The mask of a rectangle."""
    mask = torch.zeros(size)
    mask[rows[0] : rows[1], columns[0] : columns[1]] = 1
    return mask


def two_objects(size: tuple[int, int] = (48, 64)) -> dict[int, dict[int, Tensor]]:
    """Prompts by frame and channel: both objects on frame 0."""
    return {0: {0: block((4, 24), (6, 30), size), 1: block((26, 44), (34, 60), size)}}


def with_late() -> dict[int, dict[int, Tensor]]:
    """Two objects on frame 0, a third on frame 4."""
    return {**two_objects(), 4: {2: block((2, 20), (40, 60))}}


def prompted(masks: dict[int, Tensor], objects: int, size: tuple[int, int]) -> Prompted:
    planes, given = torch.zeros(1, objects, *size), torch.zeros(1, objects, dtype=torch.bool)
    for channel, mask in masks.items():
        planes[0, channel], given[0, channel] = mask, True
    return Prompted(planes, given)


@torch.no_grad()
def stream(method: STMA, video: Tensor, prompts: dict[int, dict[int, Tensor]], objects: int, change=None) -> tuple[list, list]:
    """Probabilities and memories after each frame; `change(memory, frame)` may replace the memory before a frame."""
    size = (video.shape[2], video.shape[3])
    memory, probs, memories = method.start(1, objects, size), [], []
    for t in range(len(video)):
        memory = change(memory, t) if change else memory
        entering = prompted(prompts[t], objects, size) if t in prompts else None
        step = method.step(method.encode(video[t : t + 1]), memory, t, entering)
        memory = step.memory
        probs.append(step.prob)
        memories.append(memory)
    return probs, memories


def clip(length: int = 4, size: tuple[int, int] = (48, 64)) -> Clip:
    """Two clips of moving rectangles, with three and two objects."""
    label_map = torch.zeros(2, length, *size, dtype=torch.long)
    for t in range(length):
        label_map[:, t, 4:20, 4 + 3 * t : 24 + 3 * t] = 1
        label_map[:, t, 26:44, 30 - 2 * t : 52 - 2 * t] = 2
        label_map[0, t, 2:22, 44:60] = 3
    image = torch.stack([frames(length, size, seed=5), frames(length, size, seed=6)])
    present = torch.tensor([[True, True, True], [True, True, False]])
    return Clip(image, label_map, present, ["one", "two"], [[str(t) for t in range(length)]] * 2)
