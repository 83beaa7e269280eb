"""Published weights of CFBI and CFBI+ (specification 11): one grammar of keys, told apart by the ensembler's names."""

import re
from collections.abc import Mapping

from torch import Tensor

from vosbench.methods.official import Converted, Official, sorted_out

FAMILY = "CFBI and CFBI+ (z-x-yang/CFBI)"

# Residual networks by the number of blocks in their third stage.
DEPTHS = {6: 50, 23: 101, 36: 152}
DEPTH_OF_CONFIGURATION = 101

IGNORED = {
    r"(seperate_conv|bn1|embedding_conv|bn2)\.(weight|bias)": "a second name of semantic_embedding.0, 1, 3, 4, whose values count",
    r".*\.num_batches_tracked": "the statistics are frozen",
}

# Ours <- theirs, the whole key but for its last word.
STAGES = {"S1": "fine", "S2": "middle", "S3": "coarse"}
PLACES = ("fine.0", "fine.1", "middle.0", "middle.1", "middle.2", "coarse.0", "coarse.1", "coarse.2")  # of CFBI's eight layers
NECK = {"toplayer": "top", "latlayer1": "lateral8", "latlayer2": "lateral4", "smooth1": "smooth8", "smooth2": "smooth4"}
LAYER = {"0": "conv", "1": "norm"}
RULES: list[tuple[str, str]] = [
    (r"feature_extracter\.backbone\.(.+)", r"backbone.trunk.\1"),
    *((rf"feature_extracter\.aspp\.aspp{i + 1}\.atrous_conv", rf"deeplab.aspp.branches.{i}.conv") for i in range(4)),
    *((rf"feature_extracter\.aspp\.aspp{i + 1}\.bn", rf"deeplab.aspp.branches.{i}.norm") for i in range(4)),
    (r"feature_extracter\.aspp\.global_avg_pool\.1", "deeplab.aspp.pooled.conv"),
    (r"feature_extracter\.aspp\.global_avg_pool\.2", "deeplab.aspp.pooled.norm"),
    (r"feature_extracter\.aspp\.conv1", "deeplab.aspp.project.conv"),
    (r"feature_extracter\.aspp\.bn1", "deeplab.aspp.project.norm"),
    (r"feature_extracter\.decoder\.conv1", "deeplab.decoder.shortcut.conv"),
    (r"feature_extracter\.decoder\.bn1", "deeplab.decoder.shortcut.norm"),
    (r"feature_extracter\.decoder\.last_conv\.0", "deeplab.decoder.first.conv"),
    (r"feature_extracter\.decoder\.last_conv\.1", "deeplab.decoder.first.norm"),
    (r"feature_extracter\.decoder\.last_conv\.4", "deeplab.decoder.second.conv"),
    (r"feature_extracter\.decoder\.last_conv\.5", "deeplab.decoder.second.norm"),
    *((rf"fpn\.{theirs}\.{place}", f"neck.{ours}.{name}") for theirs, ours in NECK.items() for place, name in LAYER.items()),
    (r"semantic_embedding\.0", "neck.spatial.conv"),
    (r"semantic_embedding\.1", "neck.spatial.norm"),
    (r"semantic_embedding\.3", "neck.project.conv"),
    (r"semantic_embedding\.4", "neck.project.norm"),
    (r"dynamic_prehead\.conv", "prehead.conv"),
    (r"dynamic_prehead\.bn", "prehead.norm"),
    (r"dynamic_seghead\.ASPP_IA\.IA", "ensembler.aspp.gate.linear"),
    (r"dynamic_seghead\.IA9\.IA", "ensembler.aspp.gate.linear"),
    *((rf"dynamic_seghead\.ASPP\.aspp{i + 1}\.GCT", f"ensembler.aspp.branches.{i}.gct") for i in range(4)),
    *((rf"dynamic_seghead\.ASPP\.aspp{i + 1}\.atrous_conv", f"ensembler.aspp.branches.{i}.layer.conv") for i in range(4)),
    *((rf"dynamic_seghead\.ASPP\.aspp{i + 1}\.bn", f"ensembler.aspp.branches.{i}.layer.norm") for i in range(4)),
    (r"dynamic_seghead\.ASPP\.global_avg_pool\.1", "ensembler.aspp.pooled"),
    (r"dynamic_seghead\.ASPP\.GCT", "ensembler.aspp.gct"),
    (r"dynamic_seghead\.ASPP\.conv1", "ensembler.aspp.project.conv"),
    (r"dynamic_seghead\.ASPP\.bn1", "ensembler.aspp.project.norm"),
    (r"dynamic_seghead\.GCT_sc", "ensembler.decoder.skip_gct"),
    (r"dynamic_seghead\.conv_sc", "ensembler.decoder.skip.conv"),
    (r"dynamic_seghead\.bn_sc", "ensembler.decoder.skip.norm"),
    (r"dynamic_seghead\.IA10\.IA", "ensembler.decoder.gate1.linear"),
    (r"dynamic_seghead\.conv1", "ensembler.decoder.first.conv"),
    (r"dynamic_seghead\.bn1", "ensembler.decoder.first.norm"),
    (r"dynamic_seghead\.IA11\.IA", "ensembler.decoder.gate2.linear"),
    (r"dynamic_seghead\.conv2", "ensembler.decoder.second.conv"),
    (r"dynamic_seghead\.bn2", "ensembler.decoder.second.norm"),
    (r"dynamic_seghead\.IA_final_fg", "ensembler.decoder.own_filter"),
    (r"dynamic_seghead\.IA_final_bg", "ensembler.decoder.background_filter"),
]
BLOCK = {
    "GCT1": "gct",
    "conv1": "reduce.conv",
    "bn1": "reduce.norm",
    "conv2": "spatial.conv",
    "bn2": "spatial.norm",
    "conv3": "expand.conv",
    "bn3": "expand.norm",
    "downsample.0": "shortcut.conv",
    "downsample.1": "shortcut.norm",
}
WHOLE = {"bg_bias": "background_bias", "fg_bias": "object_bias"}


def recognised(shapes: Mapping[str, tuple[int, ...]]) -> Official | None:
    """CFBI or CFBI+ with a residual network of 50, 101 or 152 layers."""
    plus = "fpn.toplayer.0.weight" in shapes and "dynamic_seghead.S1_layer1.conv1.weight" in shapes
    single = "semantic_embedding.0.weight" in shapes and "dynamic_seghead.layer1.conv1.weight" in shapes
    blocks = {key.split(".")[3] for key in shapes if re.match(r"feature_extracter\.backbone\.layer3\.\d+\.conv3\.", key)}
    depth = DEPTHS.get(len(blocks))
    if plus == single or depth is None:
        return None
    overrides = ["size=paper", "method.channel_order=bgr"]
    if single:
        overrides.append("method.neck=none")
    if depth != DEPTH_OF_CONFIGURATION:
        overrides.append(f"method.backbone.name=resnet{depth}.tv_in1k")
    return Official(f"{'CFBI+' if plus else 'CFBI'}, ResNet-{depth}", "cfbi_plus", tuple(overrides))


def converted(state: Mapping[str, Tensor]) -> Converted:
    """The weights under our names."""
    return sorted_out(state, placed, IGNORED)


def placed(key: str) -> str | None:
    """Our name of a public key; None for one that no rule knows."""
    if key in WHOLE:
        return WHOLE[key]
    layer, _, last = key.rpartition(".")
    for theirs, ours in RULES:
        if re.fullmatch(theirs, layer):
            return f"{re.sub(theirs, ours, layer)}.{last}"
    return _in_a_block(layer, last)


def _in_a_block(layer: str, last: str) -> str | None:
    """Our name of a key of the ensembler's gated blocks, ``S2_IA3.IA``, ``S2_layer3.conv1``; in CFBI ``IA5.IA``, ``layer5.conv1``."""
    found = re.fullmatch(r"dynamic_seghead\.(?:(S[123])_)?(?:IA([1-8])\.IA|layer([1-8])\.(.+))", layer)
    if found is None:
        return None
    stage, gate, block, part = found.groups()
    number = int(gate or block) - 1
    place = f"{STAGES[stage]}.{number}" if stage else PLACES[number]
    if gate:
        return f"ensembler.{place}.gate.linear.{last}"
    return f"ensembler.{place}.{BLOCK[part]}.{last}" if part in BLOCK else None
