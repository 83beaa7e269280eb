"""Published weights of AOT and DeAOT: which variant a file holds, and its keys under our names (specification 4 and 11)."""

import itertools
import re
from collections.abc import Mapping

from torch import Tensor

from vosbench.methods.official import Converted, Official, renamed, sorted_out

FAMILY = "AOT and DeAOT (yoxu515/aot-benchmark)"

# (decoupled, encoder, number of blocks) -> name, our method.variant
VARIANTS = {
    (False, "mobilenetv2", 1): ("AOT-T", "aot_t"),
    (False, "mobilenetv2", 2): ("AOT-S", "aot_s"),
    # Decision: B and L have the same weights and differ in the memory gap, which no file tells; L is the published default.
    (False, "mobilenetv2", 3): ("AOT-L or AOT-B", "aot_l"),
    (False, "resnet50", 3): ("R50-AOT-L", "r50_aotl"),
    (False, "resnet101", 3): ("R101-AOT-L", "r101_aotl"),
    (False, "swin_base", 3): ("SwinB-AOT-L", "swinb_aotl"),
    (True, "mobilenetv2", 1): ("DeAOT-T", "deaot_t"),
    (True, "mobilenetv2", 2): ("DeAOT-S", "deaot_s"),
    (True, "mobilenetv2", 3): ("DeAOT-L or DeAOT-B", "deaot_l"),
    (True, "resnet50", 3): ("R50-DeAOT-L", "r50_deaotl"),
    (True, "swin_base", 3): ("SwinB-DeAOT-L", "swinb_deaotl"),
}

# Key of the last stage that every file of an encoder has, and of none other.
ENCODERS = {
    "mobilenetv2": "encoder.features.18.0.weight",
    "resnet101": "encoder.layer3.22.conv1.weight",
    "resnet50": "encoder.layer3.5.conv1.weight",
    "swin_base": "encoder.layers.2.blocks.17.norm1.weight",
}

IGNORED = {
    r"LSTT\.mask_token": "no part of the network reads it",
    r".*\.num_batches_tracked": "batch norms are constants and count nothing",
    r"encoder\..*\.(relative_position_index|attn_mask)": "computed from the window's size, not learnt",
    r"encoder\.(layers\.3|layer4|norm3|fc|head|classifier)\..*": "belongs to the encoder's last stage, which AOT does not use",
}

# Beginning of a key outside the encoder -> ours, the first that matches.
RULES = (
    (r"LSTT\.decoder_norms\.0\.gn\.", "lstt.decoder_norm."),  # DeAOT's only norm
    (r"LSTT\.", "lstt."),
    (r"encoder_projector\.", "projector."),
    (r"patch_wise_id_bank\.", "identity_bank.conv."),
    (r"id_norm\.", "identity_bank.norm."),
    (r"decoder\.", "decoder."),
)

MOBILENET_STAGES = (1, 2, 3, 4, 3, 3, 1)  # blocks per stage


def recognised(shapes: Mapping[str, tuple[int, ...]]) -> Official | None:
    """The published variant with these keys."""
    if "patch_wise_id_bank.weight" not in shapes:
        return None
    encoder = next((name for name, key in ENCODERS.items() if key in shapes), None)
    blocks = {match[1] for key in shapes if (match := re.match(r"LSTT\.layers\.(\d+)\.", key))}
    decoupled = "LSTT.layers.0.linear_QV.weight" in shapes
    variant = VARIANTS.get((decoupled, str(encoder), len(blocks)))
    if variant is None:
        return None
    return Official(variant[0], "aot", ("size=paper", f"method.variant={variant[1]}"))


def converted(state: Mapping[str, Tensor]) -> Converted:
    """The weights under the names of `network.AOT`."""
    return sorted_out(state, _own, IGNORED)


def _own(key: str) -> str | None:
    """Our name of a key."""
    if key.startswith("encoder."):
        return _encoder(key.removeprefix("encoder."))
    own = renamed(key, RULES)
    return _lower(own) if own is not None and own.startswith("lstt.") else own


def _lower(key: str) -> str:
    """Names of layers without capitals: linear_QV becomes linear_qv."""
    return key.lower().replace(".dw_conv.conv.", ".dw_conv.")


def _encoder(key: str) -> str | None:
    part = key.partition(".")[0]
    if part == "features":
        found = _mobilenet(key)
        return None if found is None else f"encoder.body.net.{found}"
    if part in ("conv1", "bn1") or re.fullmatch(r"layer\d", part):
        return f"encoder.body.net.{key}"
    if re.fullmatch(r"norm\d", part):
        return f"encoder.body.{key}"
    # Swin: timm counts a downsampling layer to the stage behind it.
    if match := re.fullmatch(r"layers\.(\d)\.downsample\.(.*)", key):
        return f"encoder.body.net.layers_{int(match[1]) + 1}.downsample.{match[2]}"
    if match := re.fullmatch(r"layers\.(\d)\.(.*)", key):
        return f"encoder.body.net.layers_{match[1]}.{match[2]}"
    return f"encoder.body.net.{key}" if part == "patch_embed" else None


def _mobilenet(key: str) -> str | None:
    """timm's name of a tensor of torchvision's MobileNetV2: ``features.<block>.conv.<place>`` counts all blocks and layers."""
    match = re.fullmatch(r"features\.(\d+)\.(?:conv\.)?(\d)(?:\.(\d))?\.(\w+)", key)
    if match is None:
        return None
    block, name = int(match[1]), match[4]
    layer = ".".join(part for part in (match[2], match[3]) if part)
    ends = [0, *itertools.accumulate(MOBILENET_STAGES)]
    if block in (0, ends[-1] + 1):
        known = {"0": "conv_stem", "1": "bn1"} if block == 0 else {"0": "conv_head", "1": "bn2"}
        return f"{known[layer]}.{name}" if layer in known else None
    layers = {"0.0": "conv_pw", "0.1": "bn1", "1.0": "conv_dw", "1.1": "bn2", "2": "conv_pwl", "3": "bn3"}
    if block == 1:  # its input is not expanded
        layers = {"0.0": "conv_dw", "0.1": "bn1", "1": "conv_pw", "2": "bn2"}
    if layer not in layers or block > ends[-1]:
        return None
    stage = next(number for number, end in enumerate(ends[1:]) if block <= end)
    return f"blocks.{stage}.{block - 1 - ends[stage]}.{layers[layer]}.{name}"
