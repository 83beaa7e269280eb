"""A small AOT whose random identities are strong enough for every path to show, and videos to stream through it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.methods.built import built
from vosbench.methods.aot_capa.memory import AOTMemory
from vosbench.methods.aot_capa.network import AOT
from vosbench.methods.method import Prompted, Step
from vosbench.video.clip import Clip

SIZE = (49, 65)  # 16 k + 1
Prompts = dict[int, dict[int, Tensor]]  # frame -> channel -> mask


def aot(*changes: str, name: str = "aot", seed: int = 0) -> AOT:
    """The tiny form with dotted changes, such as "memory.long_gap=1"; eval mode."""
    method = built(name, *(f"method.{change}" for change in changes), seed=seed)
    assert isinstance(method, AOT)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        weight = method.identity_bank.conv.weight
        weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
        for module in method.encoder.modules():  # statistics that differ from 0 and 1, as after a training
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.copy_(0.1 * torch.randn(module.running_mean.shape, generator=generator))
    return method.eval()


def frames(length: int, size: tuple[int, int] = SIZE, seed: int = 1) -> Tensor:
    """T frames of blurred noise that drifts, one video."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(1, 3, size[0] // 8 + 2, size[1] // 8 + length + 2, generator=generator)
    wide = nn.functional.interpolate(noise, scale_factor=8, mode="bilinear")
    return torch.cat([wide[..., : size[0], 3 * t : 3 * t + size[1]] for t in range(length)])


def masks(objects: int, size: tuple[int, int] = SIZE) -> dict[int, Tensor]:
    """Upright stripes that fill the left part of the frame, one for each channel."""
    width = size[1] // (objects + 1)
    found = {}
    for channel in range(objects):
        found[channel] = torch.zeros(size)
        found[channel][4:-4, channel * width : (channel + 1) * width] = 1
    return found


def prompted(given: dict[int, Tensor], objects: int, size: tuple[int, int]) -> Prompted:
    """One video's prompts on a padded object axis."""
    planes, flags = torch.zeros(1, objects, *size), torch.zeros(1, objects, dtype=torch.bool)
    for channel, mask in given.items():
        planes[0, channel], flags[0, channel] = mask, True
    return Prompted(planes, flags)


@torch.no_grad()
def stream(
    method: AOT, video: Tensor, prompts: Prompts, change: Callable[[AOTMemory, int], AOTMemory] | None = None
) -> list[Step]:
    """Steps of a video; the object axis grows with the prompts. `change(memory, frame)` may replace the memory before a frame."""
    size = (video.shape[2], video.shape[3])
    memory, steps = method.start(1, 0, size), []
    for t in range(len(video)):
        objects = max([memory.objects, *(channel + 1 for channel in prompts.get(t, {}))])
        memory = method.grow(memory, objects) if objects > memory.objects else memory
        memory = change(memory, t) if change else memory
        entering = prompted(prompts[t], objects, size) if t in prompts else None
        steps.append(method.step(method.encode(video[t : t + 1]), memory, t, entering))
        memory = steps[-1].memory
    return steps


def clip(length: int = 4, size: tuple[int, int] = SIZE) -> Clip:
    """Two clips of moving rectangles, with three and two objects."""
    label_map = torch.zeros(2, length, *size, dtype=torch.long)
    for t in range(length):
        label_map[:, t, 4:20, 4 + 3 * t : 24 + 3 * t] = 1
        label_map[:, t, 26:44, 30 - 2 * t : 52 - 2 * t] = 2
        label_map[0, t, 2:22, 44:60] = 3
    image = torch.stack([frames(length, size, seed=5), frames(length, size, seed=6)])
    present = torch.tensor([[True, True, True], [True, True, False]])
    return Clip(image, label_map, present, ["one", "two"], [[str(t) for t in range(length)]] * 2)


def one_clip(sample: Clip, number: int) -> Clip:
    """A batch of that clip alone."""
    rows = slice(number, number + 1)
    return Clip(sample.image[rows], sample.label_map[rows], sample.present[rows], sample.sequence[rows], sample.frame_names[rows])
