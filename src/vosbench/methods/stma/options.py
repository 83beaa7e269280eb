"""The settings of STMA by the paper's parts; an optional part is None. Section numbers are those of our specification."""

from dataclasses import dataclass
from typing import Any

from vosbench.errors import ConfigError


def _one_of(key: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"method.{key}={value}: expected one of {', '.join(str(choice) for choice in choices)}.")


def _at_least(key: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise ConfigError(f"method.{key}={value}: must be at least {least}.")


@dataclass
class BackboneOptions:
    """Stem before the association blocks (3.2, 3.4)."""

    name: str  # convvit_b or vit_b
    dims: list[int] | None  # channels at strides 4 and 8; None: as published for `name`
    blocks: list[int]  # convolutional blocks at strides 4 and 8 (convvit_b only)
    grid: int  # training crop / 16: range of the position coordinates
    pos_order: str  # xy: first half of the code follows the column (MAE); yx: the row (MoCo-v3)
    pretrained: str | None  # convmae, mae, mocov3; None: random
    checkpoint: str | None  # file with those weights

    def __post_init__(self) -> None:
        _one_of("backbone.name", self.name, ("convvit_b", "vit_b"))
        _one_of("backbone.pos_order", self.pos_order, ("xy", "yx"))
        _one_of("backbone.pretrained", self.pretrained, (None, "convmae", "mae", "mocov3"))
        _at_least("backbone.grid", self.grid, 1)
        if self.pretrained == "mocov3" and self.pos_order != "yx":
            raise ConfigError(
                "method.backbone.pretrained=mocov3: its position codes put the row first; set method.backbone.pos_order=yx."
            )

    @property
    def channels(self) -> tuple[int, int]:
        """Channels at strides 4 and 8."""
        first, second = self.dims or ((256, 384) if self.name == "convvit_b" else (256, 512))
        return first, second


@dataclass
class STMLOptions:
    """Spatial-temporal multi-level association (3.5)."""

    depth: int | None  # blocks; None: as published for the backbone (convvit_b 11, vit_b 12)
    dim: int  # token width C
    heads: int
    mlp_ratio: float
    mode: str  # asymmetric (published) or joint (ablation: every token sees every token)
    cache: bool  # keep keys and values of the memory side between writes; exact
    checkpoint: bool  # recompute blocks in the backward pass: less memory, more time

    def __post_init__(self) -> None:
        _one_of("stml.mode", self.mode, ("asymmetric", "joint"))
        _at_least("stml.depth", self.depth, 1)
        if self.dim % (4 * self.heads):
            raise ConfigError(f"method.stml.dim={self.dim}: must be a multiple of 4 times stml.heads={self.heads}.")


@dataclass
class ObjectOptions:
    """One token per object (3.7)."""

    enabled: bool
    anchor_dim: int  # width of the anchor taken on the registration frame, C_s


@dataclass
class SpatialOptions:
    """Reference frames whose tokens the test frame attends to (5.1)."""

    refs: int  # reference frames m while one is pinned
    max_pinned: int | None  # frames with given masks kept; None: all

    def __post_init__(self) -> None:
        _at_least("memory.spatial.refs", self.refs, 1)
        _at_least("memory.spatial.max_pinned", self.max_pinned, 1)


@dataclass
class TemporalOptions:
    """Keys and ID values of past frames (3.8, 5.3)."""

    capacity_frames: int | None  # elements kept, in frames; None: all
    key_dim: int  # C_k
    affinity: str  # anisotropic (XMem) or l2
    top_k: int | None  # elements a query reads outside training; None: all

    def __post_init__(self) -> None:
        _one_of("memory.temporal.affinity", self.affinity, ("anisotropic", "l2"))
        _at_least("memory.temporal.capacity_frames", self.capacity_frames, 1)
        _at_least("memory.temporal.top_k", self.top_k, 1)


@dataclass
class MemoryOptions:
    """What is remembered, and how often it is written."""

    write_every: int  # frames between two writes outside training: 3 on DAVIS, 5 on YouTube-VOS
    spatial: SpatialOptions | None
    temporal: TemporalOptions | None

    def __post_init__(self) -> None:
        _at_least("memory.write_every", self.write_every, 1)
        if self.spatial is None and self.temporal is None:
            raise ConfigError(
                "method.memory.spatial=null with method.memory.temporal=null: no place is left that knows the masks; keep one."
            )


@dataclass
class ValueOptions:
    """Value encoder (3.6)."""

    dim: int  # C_v
    trunk: str  # timm name; its stride-16 map is used
    trunk_options: dict[str, Any]  # further arguments of timm's create_model
    pretrained: bool | None  # ImageNet weights of the trunk; null or false: random


@dataclass
class DecoderOptions:
    """Decoder (3.9)."""

    dims: list[int]  # channels at strides 16, 8, 4

    def __post_init__(self) -> None:
        if len(self.dims) != 3:
            raise ConfigError(f"method.decoder.dims={self.dims}: expected three widths, for strides 16, 8 and 4.")
