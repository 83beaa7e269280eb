"""The published variants of AOT and DeAOT as data, and AOT built from one of them (specification 4)."""

import functools

from vosbench.methods.aot_capa.capa import CAPA
from vosbench.methods.aot_capa.encoder import Encoder
from vosbench.methods.aot_capa.gated import GatedPropagation
from vosbench.methods.aot_capa.lstt import LSTT
from vosbench.methods.aot_capa.network import AOT
from vosbench.methods.aot_capa.options import AsVariant, DecoderOptions, EncoderOptions, LSTTOptions, MemoryOptions, Variant

LARGE = functools.partial(Variant, blocks=3, long_gap=5, long_gap_train=2)
SWIN = functools.partial(LARGE, "swin_base", align_corners=False, drop_path=0.3)

VARIANTS: dict[str, Variant] = {
    "aot_t": Variant("mobilenetv2", 1),
    "aot_s": Variant("mobilenetv2", 2),
    "aot_b": Variant("mobilenetv2", 3),
    "aot_l": LARGE("mobilenetv2"),
    "r50_aotl": LARGE("resnet50"),
    "r101_aotl": LARGE("resnet101"),
    "swinb_aotl": SWIN(),
    "deaot_t": Variant("mobilenetv2", 1, "gated"),
    "deaot_s": Variant("mobilenetv2", 2, "gated"),
    "deaot_b": Variant("mobilenetv2", 3, "gated"),
    "deaot_l": LARGE("mobilenetv2", block="gated"),
    "r50_deaotl": LARGE("resnet50", block="gated"),
    "swinb_deaotl": SWIN(block="gated"),
    # Decision: no ImageNet weights of this width exist, so its batch norms learn and nothing is frozen.
    "tiny": Variant(
        "mobilenetv2_035",
        2,
        long_gap=5,
        long_gap_train=2,
        freeze=False,
        options={"output_stride": 16, "out_indices": [1, 2, 3, 4]},
    ),
}


def aot(
    *,
    variant: str,
    encoder: EncoderOptions,
    lstt: LSTTOptions,
    identities: int,
    align_corners: bool | AsVariant,
    decoder: DecoderOptions,
    memory: MemoryOptions,
    long_edge: int,
    capa: CAPA | None,
) -> AOT:
    """The network of that variant; every setting that does not say ``variant`` is taken as it stands."""
    if variant not in VARIANTS:
        raise ValueError(f"method.variant={variant}: expected one of {', '.join(VARIANTS)}")
    published = VARIANTS[variant]
    encoder, lstt = encoder.resolved(published), lstt.resolved(published)
    return AOT(
        encoder=Encoder(encoder.name, bool(encoder.pretrained), encoder.drop_path, encoder.freeze, encoder.options),  # type: ignore[arg-type]
        lstt=_stack(lstt),
        identities=identities,
        align_corners=published.align_corners if align_corners == "variant" else align_corners,
        decoder=decoder,
        memory=memory.resolved(published),
        long_edge=long_edge,
        capa=capa,
    )


def _stack(options: LSTTOptions) -> LSTT | GatedPropagation:
    assert options.blocks != "variant"
    if options.block == "gated":
        return GatedPropagation(options.width, options.blocks, options.radius, options.drop_path, options.dropout)
    return LSTT(
        width=options.width,
        blocks=options.blocks,
        heads=options.heads,
        feed_forward=options.feed_forward,
        groups=options.groups,
        radius=options.radius,
        drop_path=options.drop_path,
        gated=options.block == "v2",
    )
