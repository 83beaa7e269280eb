"""What AOT carries from frame to frame (specification 5), and what it makes of an image.

Objects are dealt to groups of M in the order of their channels: channel n belongs to group n // M. A group begins with the
first reference frame that shows one of its objects; from then on it remembers every frame that is written.
"""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from vosbench.layers.tensor_fields import TensorFields
from vosbench.methods.aot_capa.groups import masked
from vosbench.methods.aot_capa.lstt import Parts
from vosbench.methods.method import Features, Memory


@dataclass
class AOTFeatures(Features):
    """Everything about an image that does not depend on a memory."""

    tokens: Float[Tensor, "B S C"]  # f, the projected deepest map
    skip4: Float[Tensor, "B D4 h4 w4"]  # what the decoder adds at strides 4, 8 and 16
    skip8: Float[Tensor, "B D8 h8 w8"]
    skip16: Float[Tensor, "B D8 h w"]

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the tokens."""
        return self.skip16.shape[2], self.skip16.shape[3]


@dataclass
class Trace(TensorFields):
    """What `segment` made and `memorize` and `at_size` use again."""

    candidates: dict[int, list[Parts]]  # by group and block: memory of this frame before its masks are known
    logits: dict[int, Tensor]  # by group, B K_g h4 w4: background, then the group's own channels
    registered: Bool[Tensor, "B N"]  # of the memory that was read


@dataclass(kw_only=True)
class AOTMemory(Memory):
    """Long- and short-term memory of every group, by group and block; both are empty lists until the group begins."""

    registered: Bool[Tensor, "B N"]  # which channels hold an object
    order: Int[Tensor, "B G M"]  # identity, from 0, of each of a group's channels
    long: list[list[Parts]]  # the stored frames joined on the token axis, oldest first
    short: list[list[Parts]]  # the frame written last
    pinned: list[list[bool]]  # by group and stored frame: whether it is a reference frame
    last_write: int = -1  # number of the frame that went into the long-term memory last
    # In training, of the reference frame written just now: its own logits at the network's size, for the loss beside.
    reference_logits: Float[Tensor, "B K H W"] | None = None

    @property
    def begun(self) -> list[int]:
        """Groups that remember something."""
        return [group for group, parts in enumerate(self.short) if parts]

    def channels(self, group: int) -> slice:
        """The group's part of the object axis."""
        size = self.order.shape[2]
        return slice(group * size, min(self.objects, (group + 1) * size))

    def identity_map(self, label_map: Int[Tensor, "B H W"], group: int) -> Int[Tensor, "B H W"]:
        """Channels + 1 become the identities + 1 of that group; what is not the group's is its background."""
        batch, own = label_map.shape[0], self.channels(group)
        table = label_map.new_zeros(batch, self.objects + 1)
        table[:, 1 + own.start : 1 + own.stop] = self.order[:, group, : own.stop - own.start] + 1
        return table.gather(1, label_map.flatten(1)).view_as(label_map)

    def by_channel(self, logits: Float[Tensor, "B K h w"], group: int) -> Float[Tensor, "B K2 h w"]:
        """Logits of background and identities -> of background and the group's channels, those without an object masked."""
        own = self.channels(group)
        taken = F.pad(self.order[:, group, : own.stop - own.start] + 1, (1, 0))[:, :, None, None]
        logits = logits.gather(1, taken.expand(-1, -1, *logits.shape[2:]))
        return masked(logits, self.registered[:, own])

    def grown(self, objects: int, more: Int[Tensor, "B G M"]) -> "AOTMemory":
        """With a longer object axis; `more` is the order of the groups that it adds."""
        added = more.shape[1]
        return dataclasses.replace(
            self,
            objects=objects,
            registered=F.pad(self.registered, (0, objects - self.objects)),
            order=torch.cat([self.order, more], 1),
            long=self.long + [[] for _ in range(added)],
            short=self.short + [[] for _ in range(added)],
            pinned=self.pinned + [[] for _ in range(added)],
        )

    def appended(self, group: int, fused: list[Parts], *, pinned: bool, max_frames: int | None) -> tuple[list[Parts], list[bool]]:
        """The group's long-term memory and its flags with one more frame, within `max_frames`."""
        if not self.long[group]:
            return fused, [pinned]
        flags = [*self.pinned[group], pinned]
        place = surplus(flags, max_frames)
        if place == len(flags) - 1:
            return self.long[group], self.pinned[group]
        length = fused[0][0].shape[1]
        joined = [
            [torch.cat([*_without(old, place, length), new], 1) for old, new in zip(*block, strict=True)]
            for block in zip(self.long[group], fused, strict=True)
        ]
        return joined, [flag for frame, flag in enumerate(flags) if frame != place]


def surplus(pinned: list[bool], max_frames: int | None) -> int | None:
    """The stored frame to drop: the oldest that is no reference frame, else the oldest reference frame but the first."""
    if max_frames is None or len(pinned) <= max_frames:
        return None
    others = [frame for frame, is_reference in enumerate(pinned) if not is_reference]
    return others[0] if others else 1


def _without(tokens: Float[Tensor, "B M C"], frame: int | None, length: int) -> list[Tensor]:
    """Pieces of the stored tokens that leave out a frame of that length."""
    return [tokens] if frame is None else [tokens[:, : frame * length], tokens[:, (frame + 1) * length :]]
