"""A small QMRA whose random weights are strong enough for every path to show, and videos to stream through it."""

from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

from vosbench.methods.method import Prompted, Step
from vosbench.methods.qmra.memory import QMRAMemory
from vosbench.methods.qmra.network import QMRA
from vosbench.video.clip import Clip

CONF = Path(__file__).resolve().parents[2] / "conf" / "method"
SIZE = (48, 64)
BOXES = {0: (6.0, 4.0, 30.0, 24.0), 1: (22.0, 14.0, 60.0, 44.0)}  # they overlap

VARIANTS = {
    "full": [],
    "1stage": ["stages=1"],
    "NoAlign": ["prior=mask"],
    "NoSiam": ["siamese=false"],
    "without QMA": ["read=concat", "bca=false"],
    "without BCA": ["bca=false"],
    "without CRM": ["crm=false"],
    "CRM without CL": ["crm_coord=false"],
    "CRM from both": ["crm_source=a1a2"],
    "plain entry": ["decoder_entry=conv"],
    "unscaled read": ["read_scale=none"],
}


class Counter:
    """Samples that a module was given, frame by frame."""

    def __init__(self, module: nn.Module) -> None:
        self.seen = 0
        module.register_forward_pre_hook(self._count)

    def _count(self, module: nn.Module, inputs: tuple) -> None:
        self.seen += len(inputs[0])


AS_PUBLISHED = ["feed=rect", "read_scale=sqrt"]  # also where the small form has found something better for itself


def qmra(*changes: str, size: str = "tiny", seed: int = 0) -> QMRA:
    """The method of the YAML files with dotted changes, such as "memory.every=2"; as it is initialised, in eval mode."""
    files = OmegaConf.merge(OmegaConf.load(CONF / "size" / f"qmra_{size}.yaml"), OmegaConf.load(CONF / "qmra.yaml"))
    torch.manual_seed(seed)
    return instantiate(OmegaConf.merge(files, OmegaConf.from_dotlist([*AS_PUBLISHED, *changes])), _convert_="all").eval()


def strong(*changes: str, seed: int = 0) -> QMRA:
    """The tiny method with weights under which matches are sharp and maps fall on both sides of one half."""
    method = qmra(*changes, seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)
    for name, module in method.named_modules():
        if isinstance(module, nn.Conv2d) and name.endswith((".key", ".pred", "conv1")):
            factor = {"key": 8.0, "pred": 30.0, "onv1": 1.0}[name[-4:].lstrip(".")]
            with torch.no_grad():
                module.weight.mul_(factor)
                if name.endswith(".pred"):
                    module.bias.copy_(torch.randn(2, generator=generator))
    return method


def frames(length: int, size: tuple[int, int] = SIZE, seed: int = 1) -> Tensor:
    """T frames of blurred noise that drifts, one video."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(1, 3, -(-size[0] // 8), -(-size[1] // 8) + length, generator=generator)
    wide = nn.functional.interpolate(noise, scale_factor=8, mode="bilinear")[:, :, : size[0]]
    return torch.cat([wide[..., 3 * t : 3 * t + size[1]] for t in range(length)])


def prompted(boxes: dict[int, tuple[float, ...]], objects: int, size: tuple[int, int] = SIZE) -> Prompted:
    """Boxes by channel, as a session hands them over."""
    rows = torch.full((1, objects, 4), torch.nan)
    for channel, box in boxes.items():
        rows[0, channel] = torch.tensor(box)
    return Prompted(torch.zeros(1, objects, *size), ~rows.isnan().any(2), rows)


@torch.no_grad()
def stream(
    method: QMRA, video: Tensor, prompts: dict[int, dict[int, tuple[float, ...]]], objects: int
) -> tuple[list[Step], list[QMRAMemory]]:
    """Steps, and the memory that each of them was given."""
    size = (video.shape[2], video.shape[3])
    memory, steps, before = method.start(1, objects, size), [], []
    for t in range(len(video)):
        before.append(memory)
        given = prompted(prompts[t], objects, size) if t in prompts else None
        steps.append(method.step(method.encode(video[t : t + 1]), memory, t, given))
        memory = steps[-1].memory
    return steps, before


def numbers(memory: QMRAMemory, channel: int = 0) -> list[int]:
    """Frames that an object remembers."""
    return [entry["frame"] for entry in memory.tracks[0][channel]]


def clip(length: int = 3, size: tuple[int, int] = SIZE) -> Clip:
    """Two clips of moving rectangles, with two objects and one."""
    label_map = torch.zeros(2, length, *size, dtype=torch.long)
    for t in range(length):
        label_map[:, t, 4:20, 4 + 3 * t : 24 + 3 * t] = 1
        label_map[0, t, 26:44, 30 - 2 * t : 52 - 2 * t] = 2
    image = torch.stack([frames(length, size, seed=5), frames(length, size, seed=6)])
    image = image * 0.5 + 0.3 * label_map[:, :, None].clamp(max=1)
    present = torch.tensor([[True, True], [True, False]])
    return Clip(image, label_map, present, ["one", "two"], [[str(t) for t in range(length)]] * 2)
