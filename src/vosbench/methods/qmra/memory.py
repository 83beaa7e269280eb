"""What QMRA carries from frame to frame: keys and values of chosen frames, for every object its own (specification 5)."""

import dataclasses
from dataclasses import dataclass
from typing import TypedDict

from jaxtyping import Float
from torch import Tensor

from vosbench.errors import ConfigError
from vosbench.methods.method import Features, Memory
from vosbench.methods.qmra.box_map import Window
from vosbench.methods.qmra.folded import Folded, Pair
from vosbench.methods.qmra.memory_read import KeyValue
from vosbench.methods.qmra.options import MemoryOptions


class Entry(TypedDict):
    """One remembered frame of one object: a dict, so that memories are saved as plain values."""

    frame: int
    given: bool  # the box was a prompt
    seen: bool  # the box map holds a box
    key: Float[Tensor, "L Ck"] | None
    value: Float[Tensor, "L Cv"]


Track = list[Entry]  # in the order of time; empty: the object has not been prompted yet


class Given(TypedDict):
    """Prompts of the frame that comes next."""

    pairs: list[Pair]
    boxes: Float[Tensor, "P 4"]  # in pixels of the network's input; NaN where the object is not seen
    seen: list[bool]


@dataclass
class QMRAFeatures(Features):
    """The image alone: how it is encoded depends on the objects (f_m), or on whether one is looked for at all (f_q)."""

    image: Float[Tensor, "B 3 H W"]  # ImageNet mean and deviation taken out


@dataclass
class QMRAMemory(Memory):
    """A track per object."""

    tracks: list[list[Track]]  # B x N
    given: Given | None = None  # between a prompt and the end of its frame
    window: Window | None = None  # the part of the input that the frame fills; None: all of it

    def active(self) -> Folded:
        """The objects to look for in the next frame: those with a track, and those that are given there."""
        given = [] if self.given is None else self.given["pairs"]
        places = [(clip, channel) for clip, row in enumerate(self.tracks) for channel in range(len(row))]
        pairs = [(clip, channel) for clip, channel in places if self.tracks[clip][channel] or (clip, channel) in given]
        return Folded(pairs, [pair in given for pair in pairs])

    def remembered(self, objects: Folded) -> list[list[KeyValue]]:
        """Keys and values of each object's frames."""
        return [[(entry["key"], entry["value"]) for entry in self.tracks[clip][channel]] for clip, channel in objects.pairs]

    def with_entries(self, pairs: list[Pair], entries: list[Entry], options: MemoryOptions) -> "QMRAMemory":
        """With one more frame in the tracks of these objects, and the prompts taken in."""
        tracks = [list(row) for row in self.tracks]
        for (clip, channel), entry in zip(pairs, entries, strict=True):
            tracks[clip][channel] = appended(tracks[clip][channel], entry, options)
        return dataclasses.replace(self, tracks=tracks, given=None)

    def grown(self, objects: int) -> "QMRAMemory":
        """With a longer object axis."""
        tracks = [row + [[] for _ in range(objects - self.objects)] for row in self.tracks]
        return dataclasses.replace(self, objects=objects, tracks=tracks)


def appended(track: Track, entry: Entry, options: MemoryOptions) -> Track:
    """The track one frame later: prompted frames, every `every`-th frame since the first, and the newest.

    The frame that was the newest stays if its number is due; one in which no box was found never does (`skip_empty`).
    """
    kept = list(track)
    if track and not track[-1]["given"]:
        newest = track[-1]
        due = options.extra and (newest["frame"] - track[0]["frame"]) % options.every == 0
        if not due or (options.skip_empty and not newest["seen"]):
            kept.pop()
    return _bounded([*kept, entry], options.max_frames)


def _bounded(track: Track, max_frames: int | None) -> Track:
    """Without the oldest of those that neither were prompted nor are the newest, down to `max_frames`."""
    excess = 0 if max_frames is None else len(track) - max_frames
    if excess <= 0:
        return track
    free = [place for place, entry in enumerate(track[:-1]) if not entry["given"]]
    if len(free) < excess:
        raise ConfigError(
            f"method.memory.max_frames={max_frames}: an object has been prompted on {len(track) - len(free)} frames counting the "
            "newest, and none of them may go; give a larger bound."
        )
    return [entry for place, entry in enumerate(track) if place not in free[:excess]]
