"""Settings of AOT's parts. Section numbers are those of our specification.

Where a published variant has a value of its own, the word ``variant`` stands for it; null keeps its own meaning.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

AsVariant = Literal["variant"]
Own = TypeVar("Own", bound="Resolved")

BLOCKS = ("v1", "v2", "gated")


@dataclass(frozen=True)
class Variant:
    """What the published variants differ in (4)."""

    name: str  # of the encoder
    blocks: int
    block: str = "v1"
    long_gap: int | None = None
    long_gap_train: int | None = None
    align_corners: bool = True
    drop_path: float = 0.0  # of the encoder
    freeze: bool = True
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclass
class Resolved:
    """Settings that may say ``variant``."""

    def resolved(self: Own, variant: Variant) -> Own:
        """With the variant's values where it says so, checked."""
        found = {
            item.name: getattr(variant, item.name)
            for item in dataclasses.fields(self)
            if getattr(self, item.name) == "variant" and hasattr(variant, item.name)
        }
        result = dataclasses.replace(self, **found)
        result.check()
        return result

    def check(self) -> None:
        """ValueError for a value out of its range."""


@dataclass
class EncoderOptions(Resolved):
    """Encoder (3.2)."""

    name: str  # mobilenetv2, resnet50, resnet101, swin_base, or any network of timm with maps at strides 4, 8 and 16
    options: dict[str, Any] | AsVariant  # further arguments of timm's create_model
    pretrained: bool | None  # ImageNet weights; None or False: random
    freeze: bool | AsVariant  # batch norms are constants; stem and stride-4 stage do not learn
    drop_path: float | AsVariant  # of the last block


@dataclass
class LSTTOptions(Resolved):
    """The blocks (3.5 to 3.7)."""

    block: str  # v1 (AOT), v2 (AOTv2), gated (DeAOT)
    blocks: int | AsVariant  # L
    width: int  # C
    heads: int  # of v1 and v2
    feed_forward: int  # width inside the feed-forward part of v1 and v2
    groups: int  # of the GroupNorm in there
    radius: int  # of the short-term window, in tokens
    drop_path: float
    dropout: float  # of whole channels, in gated blocks

    def check(self) -> None:
        """See `Resolved`."""
        if self.block not in BLOCKS:
            raise ValueError(f"method.lstt.block={self.block}: expected variant, {', '.join(BLOCKS)}")
        for key in ("blocks", "radius"):
            if getattr(self, key) < 1:
                raise ValueError(f"method.lstt.{key}={getattr(self, key)}: expected 1 or more")
        if self.width % 4:
            raise ValueError(f"method.lstt.width={self.width}: must be a multiple of 4")


@dataclass
class MemoryOptions(Resolved):
    """What goes into the long-term memory beside the reference frames (5)."""

    long_gap: int | AsVariant | None  # frames from one write to the next outside training; None: reference frames only
    long_gap_train: int | AsVariant | None  # the same in training
    # Frames kept for each group; None: all. Decision: 30 in the published form, which says "all" and runs out of memory.
    max_frames: int | None

    def gap(self, training: bool) -> int | None:
        """Frames from one write to the next, once resolved."""
        gap = self.long_gap_train if training else self.long_gap
        assert gap != "variant"
        return gap

    def check(self) -> None:
        """See `Resolved`."""
        for key in ("long_gap", "long_gap_train", "max_frames"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ValueError(f"method.memory.{key}={value}: expected frames, 1 or more, or null")


@dataclass
class DecoderOptions:
    """Decoder (3.8)."""

    hidden: int  # channels at strides 16 and 8; half of them at stride 4
    groups: int  # of every GroupNorm

    def __post_init__(self) -> None:
        if self.hidden % (2 * self.groups):
            raise ValueError(f"method.decoder.groups={self.groups}: must divide half of decoder.hidden={self.hidden}")
