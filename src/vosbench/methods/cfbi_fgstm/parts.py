"""The modules of CFBI, CFBI+ and CAMN put together (specification 3)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.errors import ConfigError
from vosbench.layers.winograd import use_channels_last, use_winograd
from vosbench.methods.cfbi_fgstm.backbone import Backbone
from vosbench.methods.cfbi_fgstm.blocks import ConvNorm, quarter_norm
from vosbench.methods.cfbi_fgstm.bottom_up_path import BottomUpPath
from vosbench.methods.cfbi_fgstm.deeplab import DeepLab
from vosbench.methods.cfbi_fgstm.deeplab_weights import load_deeplab
from vosbench.methods.cfbi_fgstm.ensembler import Ensembler
from vosbench.methods.cfbi_fgstm.feature_pyramid_attention import FeaturePyramidAttention
from vosbench.methods.cfbi_fgstm.fgstm import FGSTM
from vosbench.methods.cfbi_fgstm.matching import Matching
from vosbench.methods.cfbi_fgstm.memory import CFBIFeatures
from vosbench.methods.cfbi_fgstm.neck import FPN, SingleScale
from vosbench.methods.cfbi_fgstm.object_context import ObjectContext
from vosbench.methods.cfbi_fgstm.options import (
    BackboneOptions,
    DeepLabOptions,
    EmbeddingOptions,
    HeadOptions,
    MatchingOptions,
    MemoryOptions,
    at_least,
    one_of,
)
from vosbench.methods.cfbi_fgstm.stacked import Matched, Own, Stacked
from vosbench.methods.method import Method

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, in [0, 1]


class Parts(Method):
    """Backbone, DeepLab, neck, matching, ensembler and CAMN's additions. Parts that are switched off are None and have no
    parameters."""

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        *,
        backbone: BackboneOptions,
        deeplab: DeepLabOptions,
        neck: str,
        embedding: EmbeddingOptions,
        object_context: bool,
        matching: MatchingOptions,
        head: HeadOptions,
        memory: MemoryOptions,
        channel_order: str = "rgb",
        entries_per_pass: int | None = None,
    ) -> None:
        """`neck`: none (CFBI), fpn (CFBI+) or pan (with the bottom-up path). `channel_order`: of the colours the backbone was
        trained with. `entries_per_pass`: background and objects that the ensembler runs at once; None: as many as suit the device."""
        super().__init__()
        one_of("neck", neck, ("none", "fpn", "pan"))
        one_of("channel_order", channel_order, ("rgb", "bgr"))
        at_least("entries_per_pass", entries_per_pass, 1)
        if neck == "none" and memory.scheme is not None:
            raise ConfigError(
                f"method.memory.scheme={memory.scheme} with method.neck=none: it remembers the embedding at stride 16, which only "
                "a neck makes; set method.neck=fpn or method.memory.scheme=null."
            )
        self.channel_order, self.entries_per_pass, self.width = channel_order, entries_per_pass, head.dim
        single = neck == "none"
        self.backbone = Backbone(backbone)
        self.deeplab = DeepLab(self.backbone.channels, deeplab, frozen=backbone.norm == "frozen")
        self.object_context = ObjectContext(deeplab.dim) if object_context else None
        dim = embedding.single_dim if single else embedding.dim
        self.neck: nn.Module
        if single:
            self.neck = SingleScale(deeplab.dim, dim)
        else:
            self.neck = FPN(deeplab.dim, self.backbone.channels[1], dim, BottomUpPath(dim) if neck == "pan" else None)
        self.matching = _matchings(matching, single)
        scales = len(self.matching)
        self.background_bias = nn.Parameter(torch.zeros(scales, 1, 1, 1))
        self.object_bias = nn.Parameter(torch.zeros(scales, 1, 1, 1))
        numbers = [scale.num_maps for scale in self.matching]
        self.prehead = ConvNorm(1, numbers[0], head.prehead_dim, bias=True, norm=quarter_norm) if single else None
        attention = FeaturePyramidAttention(2 * head.dim, head.dim // 4) if head.fpa else None
        self.ensembler = Ensembler(
            vector=4 * dim,
            inputs=[3 * dim + head.prehead_dim] if single else [3 * dim + number for number in numbers],
            low_level=self.backbone.channels[0],
            options=head,
            attention=attention,
        )
        self.fgstm = None
        if memory.scheme is not None:
            self.fgstm = FGSTM(
                channels=dim,
                width=2 * head.dim,
                scheme=memory.scheme,
                key_dim=memory.key_dim,
                value_dim=memory.value_dim,
                every=memory.every,
                max_frames=memory.max_frames,
            )
        if deeplab.pretrained is not None:
            load_deeplab(self, deeplab.pretrained)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)
        use_winograd(self)
        # Convolutions are faster, and 1x1 ones are matrix products, where channels are the fastest axis.
        use_channels_last(self)

    def encode(self, frames: Float[Tensor, "B 3 H W"]) -> CFBIFeatures:
        """Normalise, then backbone, DeepLab, neck."""
        # The public loader feeds blue first with the constants of red first; official weights expect it so.
        ordered = frames.flip(1) if self.channel_order == "bgr" else frames
        image = ((ordered - self.mean) / self.deviation).contiguous(memory_format=torch.channels_last)
        c4, c8, c16 = self.backbone(image)
        a = self.deeplab.aspp(c16)
        if self.object_context is not None:
            a = self.object_context(a)
        return CFBIFeatures(c4, self.neck(self.deeplab.decoder(a, c4), c8, a))

    def bias(self, count: int) -> Float[Tensor, "scales K"]:
        """What is added to the distances of the background and of `count` - 1 objects."""
        both = [self.background_bias.flatten(1), self.object_bias.flatten(1).expand(-1, count - 1)]
        return torch.cat(both, 1)

    def stacked(self, maps: Float[Tensor, "P maps h w"], pair: Matched) -> Stacked:
        """What enters the ensembler at one stride, in the published order: maps first, or, without a neck, mixed and last."""
        if self.prehead is None:
            return Stacked(Own(maps), pair)
        return Stacked(pair, Own(F.relu(self.prehead(maps))))


def _matchings(options: MatchingOptions, single: bool) -> list[Matching]:
    if single:
        return [Matching(channels=None, windows=options.single_windows, rate=1, halved=True, options=options)]
    scales = zip(options.channels, options.windows, options.atrous, strict=True)
    return [
        Matching(channels=channels, windows=windows, rate=rate, halved=False, options=options)
        for channels, windows, rate in scales
    ]
