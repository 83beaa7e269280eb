"""The backbones of LGDK, by their names in timm (paper, section 3.1; specification 3.1)."""

from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from vosbench.layers.conv_blocks import LayerNorm2d
from vosbench.layers.trunk import Trunk, TrunkOptions


@dataclass(frozen=True)
class Known:
    """What timm has to be told of a network, and what it does not tell."""

    tag: str  # of the weights it starts from
    indices: tuple[int, int, int] = (1, 2, 3)  # of its maps at strides 4, 8, 16
    transformer: bool = False  # channels last, and maps that nothing has normalised
    options: dict[str, Any] = field(default_factory=dict)


KNOWN = {
    # Decision: torchvision's original weights; timm's own default tag is a newer training.
    "wide_resnet50_2": Known("tv_in1k"),
    "resnest101e": Known("in1k"),
    # Decision: of timm's three SE-ResNet-152 the one with the paper's architecture and with weights.
    "legacy_seresnet152": Known("in1k"),
    "swin_base_patch4_window12_384": Known(
        "ms_in22k_ft_in1k",
        indices=(0, 1, 2),
        transformer=True,
        options={"strict_img_size": False, "drop_path_rate": 0.0},
    ),
    "resnet50": Known("tv_in1k"),  # STM's own
}


@dataclass
class BackboneOptions:
    """Which network both encoders are."""

    name: str  # timm's: one of the table above, or another residual network
    tag: str | None  # of the weights; null: the one of the table
    pretrained: bool | None  # ImageNet weights; null or false: random
    options: dict[str, Any]  # further arguments of timm's create_model


class Backbone(Trunk):
    """Maps at strides 4, 8 and 16, or the last alone; `planes` more inputs beside the image.

    Decision: a Swin's maps go through a LayerNorm each, as its dense-prediction models do; raw, they are unnormalised sums.
    """

    def __init__(self, backbone: BackboneOptions, *, deepest_only: bool = False, planes: int = 0) -> None:
        known = KNOWN.get(backbone.name, Known(""))
        tag = backbone.tag or known.tag
        super().__init__(
            TrunkOptions(
                f"{backbone.name}.{tag}" if backbone.pretrained and tag else backbone.name,
                {**known.options, **backbone.options},
                backbone.pretrained,
            ),
            key="method.backbone.pretrained",
            indices=known.indices[2:] if deepest_only else known.indices,
            planes=planes,
            channels_last=known.transformer,
        )
        norms = [LayerNorm2d(channels, eps=1e-5) for channels in self.channels] if known.transformer else []
        self.norm = nn.ModuleList(norms)

    def start_from(self, other: "Backbone") -> None:
        """Take over the network of another one; weights of inputs that it does not have stay as they are."""
        given = other.net.state_dict()
        for name, tensor in self.net.state_dict().items():
            part = tensor if tensor.shape == given[name].shape else tensor[:, : given[name].shape[1]]
            part.copy_(given[name])

    def forward(self, x: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        maps = super().forward(x)
        return [norm(map) for norm, map in zip(self.norm, maps, strict=True)] if len(self.norm) else maps
