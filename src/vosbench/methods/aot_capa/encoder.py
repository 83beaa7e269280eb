"""Encoders of AOT and DeAOT (specification 3.2): maps at strides 4, 8 and 16, and the deepest one, at stride 16 too."""

from typing import Any

from jaxtyping import Float
from timm.layers import DropPath
from torch import Tensor, nn

from vosbench.layers.frozen_batch_norm import freeze_batch_norms
from vosbench.layers.timm_backbone import timm_network
from vosbench.methods.aot_capa.swin import Swin

KEY = "method.encoder.pretrained"
STRIDES = (4, 8, 16, 16)

# The published encoders: timm's name with the weights to start from, and timm's options. Any other name is timm's own.
# Decision: timm's MobileNetV2 weights; the public code starts from torchvision's, which timm does not offer.
PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "mobilenetv2": ("mobilenetv2_100.ra_in1k", {"output_stride": 16}),
    "resnet50": ("resnet50.tv_in1k", {"out_indices": (1, 2, 3)}),
    "resnet101": ("resnet101.tv_in1k", {"out_indices": (1, 2, 3)}),
    "swin_base": ("swin_base_patch4_window7_224.ms_in22k", {"out_indices": (0, 1, 2)}),
}


class Encoder(nn.Module):
    """A normalised image -> its maps f4, f8, f16 and the deepest one; where the network has three maps, the last serves twice.

    `freeze` makes batch norms constants and stops the gradients of everything up to the map at stride 4. `drop_path` is the
    rate of the last block, spread linearly over the depth. `options` go to timm.
    """

    channels: tuple[int, int, int, int]

    def __init__(self, name: str, pretrained: bool, drop_path: float, freeze: bool, options: dict[str, Any]) -> None:
        super().__init__()
        timm_name, known = PUBLISHED.get(name, (name, {}))
        kind = MobileNet if name == "mobilenetv2" else Swin if timm_name.startswith("swin") else Maps
        self.body: Any = kind(timm_name, pretrained, {"drop_path_rate": drop_path, **known, **options}, KEY)
        strides = _four(self.body.strides)
        if strides != STRIDES:
            raise ValueError(
                f"encoder.options: the maps of '{name}' have the strides {strides}, expected {STRIDES}: "
                "choose timm's out_indices and output_stride to that end"
            )
        self.channels = _four(self.body.channels)
        if freeze:
            # In the published networks every batch norm follows a convolution that nothing else reads.
            freeze_batch_norms(self.body, trained=pretrained, in_place=name in PUBLISHED)
            self._freeze_up_to(self.body.first)

    def forward(
        self, image: Float[Tensor, "B 3 H W"]
    ) -> tuple[Float[Tensor, "B c4 h4 w4"], Float[Tensor, "B c8 h8 w8"], Float[Tensor, "B c16 h w"], Float[Tensor, "B c h w"]]:
        return _four(self.body(image))

    def _freeze_up_to(self, place: str) -> None:
        """No gradients for the parameters of that part of timm's network and of those in front, and no path dropped there."""
        # timm flattens a network when it extracts features: the part "layers.0" is then called "layers_0".
        inside = f"net.{place}.".replace(".", "_")
        for name, module in self.body.named_modules():
            if isinstance(module, DropPath) and name.replace(".", "_").startswith(inside):
                module.drop_prob = 0.0
        parameters = list(self.body.named_parameters())
        last = max(number for number, (name, _) in enumerate(parameters) if name.replace(".", "_").startswith(inside))
        for _, parameter in parameters[: last + 1]:
            parameter.requires_grad_(False)


class Maps(nn.Module):
    """Any network of timm that gives features only."""

    def __init__(self, name: str, pretrained: bool, options: dict[str, Any], key: str) -> None:
        super().__init__()
        self.net = timm_network(name, pretrained=pretrained, key=key, **{"features_only": True, **options})
        info: Any = self.net.feature_info
        self.channels, self.strides, self.first = info.channels(), info.reduction(), info.module_name()[0]

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        return self.net(image)


class MobileNet(nn.Module):
    """MobileNetV2 with its head convolution, which timm's feature extraction leaves out: the deepest map has 1280 channels."""

    net: Any
    kept = ("blocks.1", "blocks.2", "blocks.4")  # stages whose outputs are maps

    def __init__(self, name: str, pretrained: bool, options: dict[str, Any], key: str) -> None:
        super().__init__()
        self.net = timm_network(name, pretrained=pretrained, key=key, **{"num_classes": 0, "global_pool": "", **options})
        info: Any = self.net.feature_info
        stages = {stage["module"]: stage for stage in info}
        self.channels = [*[stages[place]["num_chs"] for place in self.kept], self.net.num_features]
        self.strides = [*[stages[place]["reduction"] for place in self.kept], info[-1]["reduction"]]
        self.first = self.kept[0]

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        x = self.net.bn1(self.net.conv_stem(image))
        maps = []
        for name, stage in self.net.blocks.named_children():
            x = stage(x)
            if f"blocks.{name}" in self.kept:
                maps.append(x)
        return [*maps, self.net.bn2(self.net.conv_head(x))]


def _four(values: Any) -> Any:
    """Three values as four, the last one twice."""
    return tuple([*values, values[-1]][:4])
