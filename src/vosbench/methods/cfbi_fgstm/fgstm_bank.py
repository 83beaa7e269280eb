"""What the space-time memory keeps: keys and values of past frames, one set per entry and region, bounded (specification 5)."""

import dataclasses
from dataclasses import dataclass, field

from jaxtyping import Bool, Float
from torch import Tensor

from vosbench.layers.tensor_fields import TensorFields


@dataclass
class FGSTMState(TensorFields):
    """Frames that can be read, oldest first. The four lists of frames run in parallel.

    Entry 0 is the background; regions are 0 inside the entry's mask, 1 outside. A frame holds the entries there were when it
    was written, and an entry reads only frames written since it was introduced, so nothing is ever padded.
    """

    born: list[list[int]]  # B x K: number of the frame in which the entry was introduced, -1: not yet
    frames: list[int] = field(default_factory=list)  # their numbers in the video
    references: list[bool] = field(default_factory=list)  # whether masks were given there
    keys: list[Float[Tensor, "B _ 2 L Ck"]] = field(default_factory=list)
    values: list[Float[Tensor, "B _ 2 L Cv"]] = field(default_factory=list)

    def grown(self, entries: int) -> "FGSTMState":
        """With a longer entry axis; the new ones are not introduced yet."""
        return dataclasses.replace(self, born=[clip + [-1] * (entries - len(clip)) for clip in self.born])

    def with_frame(
        self,
        key: Float[Tensor, "B K 2 L Ck"],
        value: Float[Tensor, "B K 2 L Cv"],
        *,
        frame: int,
        known: Bool[Tensor, "B K"],
        reference: bool,
        every: int,
        max_frames: int,
    ) -> "FGSTMState":
        """With one more frame, the newest, and without those that it drives out.

        Kept for good are references and every `every`-th frame, at most `max_frames` of them: beyond that the oldest goes that
        is no reference. The frame just written can always be read; the next one drives it out unless it is kept for good.
        """
        known_now = known.tolist()
        born = [
            [frame if is_known and since < 0 else since for is_known, since in zip(*rows, strict=True)]
            for rows in zip(known_now, self.born, strict=True)
        ]
        frames, references = [*self.frames, frame], [*self.references, reference]
        keys, values = [*self.keys, key], [*self.values, value]
        newest = len(frames) - 1
        lasting = [place for place, number in enumerate(frames) if references[place] or number % every == 0]
        droppable = [place for place in lasting if not references[place] and place != newest]
        dropped = droppable[: max(0, len(lasting) - max_frames)]
        kept = [place for place in sorted({*lasting, newest}) if place not in dropped]
        return FGSTMState(
            born,
            [frames[place] for place in kept],
            [references[place] for place in kept],
            [keys[place] for place in kept],
            [values[place] for place in kept],
        )

    def readable(self, clip: int, entry: int) -> list[int]:
        """Places of the frames that an entry may read: those written since it was introduced; none before."""
        since = self.born[clip][entry]
        return [place for place, number in enumerate(self.frames) if 0 <= since <= number]
