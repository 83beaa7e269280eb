"""Small networks of the CFBI family whose random weights are strong enough for every path to show, and clips for them."""

from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

from tests.methods.stma_cases import block, frames, prompted
from vosbench.methods.cfbi_fgstm.network import CFBI
from vosbench.methods.method import Step
from vosbench.video.clip import Clip

CONF = Path(__file__).resolve().parents[2] / "conf" / "method"
SIZE = (65, 81)  # legal: 16 k + 1


def cfbi(*changes: str, name: str = "cfbi_plus", size: str = "tiny") -> CFBI:
    """The method of the YAML files with dotted changes, such as "neck=none"; random weights, eval mode."""
    files = OmegaConf.merge(OmegaConf.load(CONF / "size" / f"{name}_{size}.yaml"), OmegaConf.load(CONF / f"{name}.yaml"))
    torch.manual_seed(0)
    return instantiate(OmegaConf.merge(files, OmegaConf.from_dotlist(list(changes))), _convert_="all").eval()


def awake(method: CFBI, seed: int = 0) -> CFBI:
    """Every parameter that starts at a constant, such as the zero gains of residuals, gets noise."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in method.parameters():
        if parameter.numel() > 1 and parameter.data.unique().numel() == 1:
            fan_in = max(1, parameter[0].numel())
            parameter.data += torch.randn(parameter.shape, generator=generator) * 0.3 * fan_in**-0.5
        elif parameter.numel() == 1 or (parameter.dim() == 4 and not parameter.any()):
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return method


def masks(size: tuple[int, int] = SIZE) -> dict[int, Tensor]:
    """Two objects that are apart."""
    return {0: block((5, 30), (8, 40), size), 1: block((36, 58), (44, 72), size)}


@torch.no_grad()
def stream(method: CFBI, video: Tensor, prompts: dict[int, dict[int, Tensor]], objects: int) -> list[Step]:
    """Every frame propagated; `prompts` by frame and channel. The masks have the video's size."""
    size = (video.shape[2], video.shape[3])
    memory, steps = method.start(1, objects, size), []
    for t in range(len(video)):
        entering = prompted(prompts[t], objects, size) if t in prompts else None
        steps.append(method.step(method.encode(video[t : t + 1]), memory, t, entering))
        memory = steps[-1].memory
    return steps


def clip(length: int = 4, size: tuple[int, int] = SIZE) -> Clip:
    """Two clips of moving rectangles, with two objects and one."""
    label_map = torch.zeros(2, length, *size, dtype=torch.long)
    for t in range(length):
        label_map[:, t, 4:30, 4 + 3 * t : 34 + 3 * t] = 1
        label_map[0, t, 34:60, 40 - 2 * t : 66 - 2 * t] = 2
    image = torch.stack([frames(length, (64, 80), seed=5), frames(length, (64, 80), seed=6)])
    image = nn.functional.interpolate(image.flatten(0, 1), size=size).unflatten(0, (2, length))
    present = torch.tensor([[True, True], [True, False]])
    return Clip(image, label_map, present, ["one", "two"], [[str(t) for t in range(length)]] * 2)
