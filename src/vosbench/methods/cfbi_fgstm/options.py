"""The settings of CFBI(+) and CAMN by their parts. Section numbers are those of our specification."""

from dataclasses import dataclass

from vosbench.errors import ConfigError


def one_of(key: str, value: object, choices: tuple[object, ...]) -> None:
    """A `ConfigError` unless the value of `method.<key>` is one of the choices."""
    if value not in choices:
        raise ConfigError(f"method.{key}={value}: expected one of {', '.join(str(choice) for choice in choices)}.")


def at_least(key: str, value: int | None, least: int) -> None:
    """A `ConfigError` if the value of `method.<key>` is smaller; None is none."""
    if value is not None and value < least:
        raise ConfigError(f"method.{key}={value}: must be at least {least}.")


@dataclass
class BackboneOptions:
    """Residual network (3.1)."""

    name: str  # timm name
    pretrained: bool | None  # its ImageNet weights, which must lie in timm's cache; null or false: random
    norm: str  # frozen (statistics and gains are constants) or trained
    multi_grid: list[int] | None  # dilations of the 3x3 convolutions of stage 4; None: timm's own

    def __post_init__(self) -> None:
        one_of("backbone.norm", self.norm, ("frozen", "trained"))


@dataclass
class DeepLabOptions:
    """Atrous pyramid and decoder (3.2)."""

    dim: int  # A
    shortcut_dim: int
    dilations: list[int]
    dropout: float
    pretrained: str | None  # file of a DeepLabV3+ with this backbone; None: backbone as above, the rest random


@dataclass
class EmbeddingOptions:
    """Neck (3.4)."""

    dim: int  # C with a neck
    single_dim: int  # C of CFBI, without one


@dataclass
class MatchingOptions:
    """Global and multi-local matching (3.6 to 3.8), at strides 4, 8, 16."""

    channels: list[int]  # leading channels of the embedding that are compared
    windows: list[list[int]]  # local windows, ascending, in pixels of the stride's grid
    single_windows: list[int]  # the same for CFBI without neck, in pixels of a grid half as fine
    atrous: list[int]  # rate, global and local
    min_pixels: int  # entries with at most this times rate^2 reference pixels keep them all: 100 on DAVIS; 0: off
    background: bool  # maps of the nearest other entry
    parallel_mib: int  # local matching compares all offsets at once while that takes at most so many MiB, else one after another

    def __post_init__(self) -> None:
        for name in ("channels", "windows", "atrous"):
            if len(getattr(self, name)) != 3:
                raise ConfigError(f"method.matching.{name}={getattr(self, name)}: expected three, for strides 4, 8 and 16.")
        for windows in [*self.windows, self.single_windows]:
            if not windows or windows != sorted(set(windows)) or windows[0] < 0:
                raise ConfigError(f"method.matching.windows: {windows} must grow from one to the next, from 0 or more.")
        at_least("matching.min_pixels", self.min_pixels, 0)


@dataclass
class HeadOptions:
    """Collaborative ensembler (3.11) and feature pyramid attention (3.12)."""

    dim: int  # E
    refine_dim: int  # Rf
    prehead_dim: int  # CFBI without neck only
    dilations: list[int]
    fpa: bool


@dataclass
class MemoryOptions:
    """Foreground-background space-time memory (3.13, 5)."""

    scheme: str | None  # a: the mask cuts the embedding; b: a prior made of both does; None: no such memory
    key_dim: int  # C_k
    value_dim: int  # C_v
    every: int  # frames between two that are kept
    max_frames: int  # kept frames; the references are among them and stay

    def __post_init__(self) -> None:
        one_of("memory.scheme", self.scheme, (None, "a", "b"))
        at_least("memory.every", self.every, 1)
        at_least("memory.max_frames", self.max_frames, 1)
