"""Published weights of STCN, by the names of their authors' code (specification of LGDK, section 11)."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from vosbench.methods.official import Converted, Official, renamed, sorted_out

FAMILY = "STCN (hkchengrex/STCN)"
FIRST = "value_encoder.conv1.weight"

# Their name -> ours, by the first pattern that the beginning of a key matches.
RULES = [
    (r"key_encoder\.res2\.", "key_encoder.net.layer1."),
    (r"key_encoder\.", "key_encoder.net."),
    (r"key_proj\.key_proj\.", "key_proj."),
    (r"key_comp\.", "thin."),
    (r"value_encoder\.fuser\.(block[12])\.downsample\.", r"value_encoder.fuser.\1.skip."),
    (r"value_encoder\.fuser\.attention\.ChannelGate\.mlp\.1\.", "value_encoder.fuser.attention.mlp.0."),
    (r"value_encoder\.fuser\.attention\.ChannelGate\.mlp\.3\.", "value_encoder.fuser.attention.mlp.2."),
    (r"value_encoder\.fuser\.attention\.SpatialGate\.spatial\.conv\.", "value_encoder.fuser.attention.spatial."),
    (r"value_encoder\.fuser\.(block[12])\.", r"value_encoder.fuser.\1."),
    (r"value_encoder\.(conv1|bn1|layer[123])\.", r"value_encoder.trunk.net.\1."),
    (r"decoder\.compress\.downsample\.", "decoder.compress.skip."),
    (r"decoder\.compress\.", "decoder.compress."),
    (r"decoder\.up_16_8\.skip_conv\.", "decoder.skip8."),
    (r"decoder\.up_8_4\.skip_conv\.", "decoder.skip4."),
    (r"decoder\.up_16_8\.out_conv\.downsample\.", "decoder.up8.skip."),
    (r"decoder\.up_16_8\.out_conv\.", "decoder.up8."),
    (r"decoder\.up_8_4\.out_conv\.", "decoder.up4."),
    (r"decoder\.pred\.", "decoder.pred."),
]
MARKS = {"key_encoder.conv1.weight", "key_proj.key_proj.weight", "key_comp.weight", FIRST, "decoder.compress.conv1.weight"}


def recognised(shapes: Mapping[str, tuple[int, ...]]) -> Official | None:
    """STCN, or its stage for still images, whose value encoder knows of no other objects."""
    if not shapes.keys() >= MARKS or "key_encoder.res2.0.conv1.weight" not in shapes:
        return None
    stills = len(shapes[FIRST]) > 1 and shapes[FIRST][1] == 4
    return Official("STCN (stage 0, still images)" if stills else "STCN", "stcn", ("size=paper",))


def converted(state: Mapping[str, Tensor]) -> Converted:
    """The weights under our names. A value encoder of the stage for still images gets a zero plane for the other objects."""
    weights = dict(state)
    first = weights.get(FIRST)
    if first is not None and first.dim() == 4 and first.shape[1] == 4:
        weights[FIRST] = F.pad(first, (0, 0, 0, 0, 0, 1))
    return sorted_out(weights, lambda key: renamed(key, RULES))
