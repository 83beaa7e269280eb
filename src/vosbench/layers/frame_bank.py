"""`FrameBank`: keys and values of whole frames, bounded by dropping the oldest that no prompt came with."""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from vosbench.errors import ConfigError
from vosbench.layers.memory_read import read_memory
from vosbench.layers.tensor_fields import TensorFields

PERMANENT, ORDINARY, TEMPORARY = "permanent", "ordinary", "temporary"


@dataclass
class FrameBank(TensorFields):
    """F frames of L tokens, oldest first. Objects that share keys are one group (G = 1, S = N), otherwise S = 1.

    Values are dense over the objects: a frame written before an object was registered holds zeros for it, and the object
    does not read it. A permanent frame is never dropped; a temporary one only until the next frame.
    """

    key: Float[Tensor, "B G F L Ck"]
    value: Float[Tensor, "B G F L S Cv"]
    shared: bool  # all objects have the same keys
    kinds: list[str]  # of each frame
    numbers: list[int]  # of the write that made it, from 0

    @classmethod
    def written(
        cls, key: Float[Tensor, "B G L Ck"], value: Float[Tensor, "B N L Cv"], *, shared: bool, kind: str, number: int
    ) -> "FrameBank":
        """One frame."""
        grouped = value.transpose(1, 2)[:, None] if shared else value[:, :, :, None]  # B G L S Cv
        return cls(key[:, :, None], grouped[:, :, None].contiguous(), shared, [kind], [number])

    def joined(self, newer: "FrameBank") -> "FrameBank":
        """Both, the newer frames last."""
        key, value = torch.cat([self.key, newer.key], 2), torch.cat([self.value, newer.value], 2)
        return FrameBank(key, value, self.shared, self.kinds + newer.kinds, self.numbers + newer.numbers)

    def lasting(self) -> "FrameBank | None":
        """Without the temporary frame; None where it is the only one."""
        return self._frames([place for place, kind in enumerate(self.kinds) if kind != TEMPORARY])

    def bounded(self, born: list[list[int]], max_frames: int | None, key: str) -> "FrameBank":
        """Without the frames that no object reads any more. `key` is the configuration key that set the bound."""
        if max_frames is None:
            return self
        held = self.held(born, max_frames)
        most = max(
            (
                sum(reads and kind == PERMANENT for reads, kind in zip(row, self.kinds, strict=True))
                for clip in held
                for row in clip
            ),
            default=0,
        )
        if max_frames < most + 1:
            raise ConfigError(
                f"{key}={max_frames}: {most} frames with given masks are kept for good, and one more is needed beside them; "
                f"set {key}={most + 1} or more, or null."
            )
        kept = [place for place in range(len(self.kinds)) if any(row[place] for clip in held for row in clip)]
        bounded = self._frames(kept)
        assert bounded is not None
        return bounded

    def held(self, born: list[list[int]], max_frames: int | None) -> list[list[list[bool]]]:
        """B x N x F: whether an object reads a frame. It reads what was written since its registration, and of the ordinary
        frames among those only as many of the newest as the bound leaves room for beside the permanent ones."""
        return [[self._held_by(write, max_frames) for write in clip] for clip in born]

    def _held_by(self, write: int, max_frames: int | None) -> list[bool]:
        own = [0 <= write <= number for number in self.numbers]
        if max_frames is None:
            return own
        room = max_frames - sum(mine and kind == PERMANENT for mine, kind in zip(own, self.kinds, strict=True))
        for place in reversed(range(len(own))):
            if own[place] and self.kinds[place] == ORDINARY:
                own[place] = room > 0
                room -= 1
        return own

    def grown(self, objects: int) -> "FrameBank":
        """With a longer object axis; the new objects have no values."""
        if self.shared:
            value = F.pad(self.value, (0, 0, 0, objects - self.value.shape[4]))
            return dataclasses.replace(self, value=value)
        more = objects - self.value.shape[1]
        key, value = F.pad(self.key, (0, 0) * 3 + (0, more)), F.pad(self.value, (0, 0) * 4 + (0, more))
        return dataclasses.replace(self, key=key, value=value)

    def read(
        self,
        query: Float[Tensor, "B L Ck"],
        born: list[list[int]],
        *,
        max_frames: int | None,
        similarity: str,
        top_k: int | None,
        kernel_sigma: float | None,
        size: tuple[int, int],
    ) -> Float[Tensor, "B N L Cv"]:
        """Every registered object's read-out at a grid of `size` (h, w); what stands in the other channels means nothing."""
        return read_memory(
            query,
            self.key.flatten(2, 3),
            self.value.flatten(2, 3),
            similarity=similarity,
            top_k=top_k,
            valid=self._valid(born, max_frames, query.device),
            kernel_sigma=kernel_sigma,
            size=size,
        )

    def _valid(self, born: list[list[int]], max_frames: int | None, device: torch.device) -> Bool[Tensor, "B N M"] | None:
        """Which tokens belong to which object; None where all belong to all."""
        held = self.held(born, max_frames)
        # An object that is not registered reads everything: its channel is not looked at, and must not divide by zero.
        rows = [
            [row if write >= 0 else [True] * len(row) for row, write in zip(*clip, strict=True)]
            for clip in zip(held, born, strict=True)
        ]
        if all(all(row) for clip in rows for row in clip):
            return None
        return torch.tensor(rows, device=device).repeat_interleave(self.key.shape[3], 2)

    def _frames(self, places: list[int]) -> "FrameBank | None":
        if len(places) == len(self.kinds):
            return self
        if not places:
            return None
        if places == list(range(places[0], places[-1] + 1)):  # a run of frames is a view, which costs nothing
            key, value = (tensor[:, :, places[0] : places[-1] + 1] for tensor in (self.key, self.value))
        else:
            key, value = self.key[:, :, places], self.value[:, :, places]
        return FrameBank(key, value, self.shared, [self.kinds[place] for place in places], [self.numbers[p] for p in places])
