"""CAPA: a network of its own that says which neighbouring pixels of one image belong to one instance (CAPA, Fig. 3)."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.layers.timm_backbone import timm_network
from vosbench.methods.aot_capa.affinity import Reduction, channels_of
from vosbench.methods.aot_capa.uper_head import UperHead
from vosbench.video.clip import Clip

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, RGB in [0, 1]


class CAPA(nn.Module):
    """Backbone, UperNet head and the layer that predicts, trained on stills before AOT is.

    Decision: the backbone is its own, GGN's ResNet-50, not AOT's Swin-B, which goes on learning after this branch is
    frozen. While the branch is trained its batch norms learn too.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        backbone: str,  # timm name
        backbone_options: dict[str, Any],  # further arguments of timm's create_model
        pretrained: bool | None,  # ImageNet weights of the backbone; None or False: random
        pool_width: int,  # p, channels of each level of the pyramid pooling
        width: int,  # q, channels of the head and of `features`
        reduction: Reduction,
        freeze: bool,  # whether AOT keeps this branch as it is; AOT acts on it
    ) -> None:
        super().__init__()
        if reduction not in (None, "mean"):
            raise ValueError(f"method.capa.reduction={reduction!r}: expected null (eight maps) or mean (one)")
        for key, value in (("pool_width", pool_width), ("width", width)):
            if value < 1:
                raise ValueError(f"method.capa.{key}={value}: expected channels, 1 or more")
        self.width, self.reduction, self.freeze = width, reduction, freeze
        self.backbone = timm_network(
            backbone,
            pretrained=bool(pretrained),
            key="method.capa.pretrained",
            features_only=True,
            out_indices=(1, 2, 3, 4),
            **backbone_options,
        )
        self.head = UperHead(self._channels(backbone), pool_width, width)
        self.predict = nn.Conv2d(width, channels_of(reduction), 1)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)

    def _channels(self, name: str) -> list[int]:
        info: Any = self.backbone.feature_info
        if info.reduction() != [4, 8, 16, 32]:
            raise ValueError(f"method.capa.backbone={name}: has maps at strides {info.reduction()}, expected [4, 8, 16, 32]")
        return info.channels()

    def features(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B q h4 w4"]:
        """g, the map before the affinity itself. The image is normalised already."""
        return self.head(self.backbone(image))

    def affinity(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B k H W"]:
        """Logits of the affinity for images in [0, 1], at their size."""
        logits = self.predict(self.features((image - self.mean) / self.deviation))
        return F.interpolate(logits, size=image.shape[-2:], mode="bilinear", align_corners=False)

    def forward(self, clip: Clip) -> Float[Tensor, "B k H W"]:
        """Logits of the affinity for the first frame of every clip: what the branch is trained on."""
        return self.affinity(clip.image[:, 0])
