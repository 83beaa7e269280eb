"""What every data set offers. Opening one is cheap: frames and label maps are decoded when asked for."""

from typing import Protocol, runtime_checkable

from vosbench.video.sequence import Sequence
from vosbench.video.still import Still


@runtime_checkable
class VideoDataset(Protocol):
    """A split of a video set."""

    name: str  # "davis17/val"
    protocol: str  # how it is scored: davis, single, generic, ytvos or lvos
    annotation_step: int  # frames between two annotated ones: 1, or 5 for YouTube-VOS
    categories_seen: frozenset[str]  # categories that training may have met, for G over seen and unseen

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sequence: ...


@runtime_checkable
class StillDataset(Protocol):
    """A set of annotated images."""

    name: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Still: ...
