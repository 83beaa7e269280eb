"""`Clip`: what training sees, T frames cut out of one sequence each, B of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor


@dataclass
class ClipSample:
    """One clip before batching, as the sampler hands it over."""

    image: UInt8[np.ndarray, "T H W 3"]  # RGB
    label_map: UInt8[np.ndarray, "T H W"]  # 0 background, 1..num_objects channel + 1, 255 ignored
    num_objects: int
    sequence: str
    frame_names: list[str]


@dataclass
class Clip:
    """T frames cut out of one sequence each, B of them. Objects keep their channel over the clip."""

    image: Float[Tensor, "B T 3 H W"]  # RGB in [0, 1], not yet normalised
    label_map: Int[Tensor, "B T H W"]  # 0 background, 1..N channel + 1 of the object, 255 ignored
    present: Bool[Tensor, "B N"]  # which channels hold an object; N is the largest number in the batch
    sequence: list[str]  # name of the sequence each clip comes from
    frame_names: list[list[str]]

    @staticmethod
    def collate(samples: Sequence[ClipSample]) -> "Clip":
        """Stack clips of equal length and size; objects are padded to the largest number (at least one)."""
        counts = torch.tensor([sample.num_objects for sample in samples])
        channels = torch.arange(max(1, int(counts.max())))
        image = torch.from_numpy(np.stack([sample.image for sample in samples]))
        return Clip(
            image=image.permute(0, 1, 4, 2, 3).float().div_(255),
            label_map=torch.from_numpy(np.stack([sample.label_map for sample in samples])).long(),
            present=channels[None] < counts[:, None],
            sequence=[sample.sequence for sample in samples],
            frame_names=[sample.frame_names for sample in samples],
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Clip":
        """The same clip on another device."""
        return Clip(
            self.image.to(device, non_blocking=non_blocking),
            self.label_map.to(device, non_blocking=non_blocking),
            self.present.to(device, non_blocking=non_blocking),
            self.sequence,
            self.frame_names,
        )

    def pin_memory(self) -> "Clip":
        """Page-locked copies, so that the way to the GPU overlaps with computing."""
        return Clip(
            self.image.pin_memory(), self.label_map.pin_memory(), self.present.pin_memory(), self.sequence, self.frame_names
        )

    def masks(self, frame: int) -> Float[Tensor, "B N H W"]:
        """One-hot masks of one frame, without background; ignored pixels belong to nobody."""
        channels = torch.arange(1, self.present.shape[1] + 1, device=self.label_map.device)
        return (self.label_map[:, frame, None] == channels[None, :, None, None]).float()
