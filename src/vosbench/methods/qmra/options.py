"""The settings of QMRA. Section numbers are those of our specification; defaults stand in `conf/method/qmra.yaml`."""

from dataclasses import dataclass
from typing import Any

from vosbench.errors import ConfigError


def one_of(key: str, value: object, choices: tuple[object, ...]) -> None:
    """`ConfigError` for a value that is none of the choices."""
    if value not in choices:
        raise ConfigError(f"method.{key}={value}: expected one of {', '.join(str(choice) for choice in choices)}.")


@dataclass(frozen=True)
class TrunkOptions:
    """Network of the encoders (3.1)."""

    name: str  # timm name
    options: dict[str, Any]  # further arguments of timm's create_model
    pretrained: bool  # ImageNet weights


@dataclass(frozen=True)
class MemoryOptions:
    """Which frames are remembered (5)."""

    every: int  # n: 10 on DAVIS, 5 on YouTube-VOS
    extra: bool  # False: "w/o EF", only prompted frames and the newest
    max_frames: int | None  # bound per object; None: as published, without one
    skip_empty: bool  # a frame without a found box is not kept longer than for the next

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ConfigError(f"method.memory.every={self.every}: must be at least 1.")
        if self.max_frames is not None and self.max_frames < 2:
            raise ConfigError(f"method.memory.max_frames={self.max_frames}: the prompted and the newest frame need 2, or null.")


@dataclass(frozen=True)
class BoxOptions:
    """From a predicted map to what is fed on (3.7, 3.9)."""

    feed: str  # map fed to stage 2 outside training: rect (the box, filled), soft (probabilities) or hard (thresholded)
    train_feed: str  # in training: soft, or rect_st (the rectangle with the gradient of the soft map)
    threshold: float
    component: str  # largest or all
    clip_masks: bool  # True: no mask beyond its box, outside training

    def __post_init__(self) -> None:
        one_of("feed", self.feed, ("rect", "soft", "hard"))
        one_of("train_feed", self.train_feed, ("soft", "rect_st"))
        one_of("box_component", self.component, ("largest", "all"))
        if not 0 < self.threshold < 1:
            raise ConfigError(f"method.box_threshold={self.threshold}: must lie between 0 and 1.")


@dataclass(frozen=True)
class Form:
    """What the network consists of: the published one and its ablations (7)."""

    stages: int  # 1: "1stage", the mask is decoded from the first match
    prior: str  # what stage 1 predicts: box, or mask for "2stage-NoAlign"
    siamese: bool  # False: "2stage-NoSiam", stage 2 encodes the query with weights of its own
    read: str  # attention, or concat for "w/o QMA"
    bca: bool  # False: "w/o BCA"
    crm: bool | None  # False: "w/o CRM"; None: with two stages
    crm_coord: bool  # False: "CRM w/o CL"
    crm_source: str  # a2, or a1a2: where the refinement starts from
    decoder_entry: str  # global_conv, or conv
    read_scale: str  # sqrt: logits are divided by sqrt(Ck); none

    def __post_init__(self) -> None:
        one_of("stages", self.stages, (1, 2))
        one_of("prior", self.prior, ("box", "mask"))
        one_of("read", self.read, ("attention", "concat"))
        one_of("crm_source", self.crm_source, ("a2", "a1a2"))
        one_of("decoder_entry", self.decoder_entry, ("global_conv", "conv"))
        one_of("read_scale", self.read_scale, ("sqrt", "none"))
        if self.read == "concat" and self.bca:
            raise ConfigError(
                "method.read=concat with method.bca=true: without a match there is nothing to gate; set method.bca=false."
            )
        if self.stages == 1:
            for key, value, needed in (
                ("crm", self.crm, (None, False)),
                ("siamese", self.siamese, (True,)),
                ("prior", self.prior, ("box",)),
            ):
                if value not in needed:
                    raise ConfigError(
                        f"method.stages=1 with method.{key}={value}: that part belongs to the second stage; leave method.{key} out."
                    )

    @property
    def refines(self) -> bool:
        """Whether there is a cascaded refinement."""
        return self.stages == 2 and self.crm is not False

    @property
    def remembers_query(self) -> bool:
        """Whether the features of stage 2 are the memory features of the same frame."""
        return self.stages == 2 and self.siamese and self.prior == "box"
