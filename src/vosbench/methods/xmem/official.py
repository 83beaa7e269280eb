"""Published weights of XMem, by the names of their authors' code."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from vosbench.methods.official import Converted, Official, renamed, sorted_out

FAMILY = "XMem (hkchengrex/XMem)"
FIRST = "value_encoder.conv1.weight"

# Their name -> ours, by the first pattern that the beginning of a key matches.
RULES = [
    (r"key_encoder\.res2\.", "key_encoder.net.layer1."),
    (r"key_encoder\.", "key_encoder.net."),
    (r"key_proj\.key_proj\.", "projection.key."),
    (r"key_proj\.d_proj\.", "projection.shrinkage."),
    (r"key_proj\.e_proj\.", "projection.selection."),
    (r"(value_encoder|decoder)\.fuser\.(block[12])\.downsample\.", r"\1.fuser.\2.skip."),
    (r"(value_encoder|decoder)\.fuser\.attention\.ChannelGate\.mlp\.1\.", r"\1.fuser.attention.mlp.0."),
    (r"(value_encoder|decoder)\.fuser\.attention\.ChannelGate\.mlp\.3\.", r"\1.fuser.attention.mlp.2."),
    (r"(value_encoder|decoder)\.fuser\.attention\.SpatialGate\.spatial\.conv\.", r"\1.fuser.attention.spatial."),
    (r"(value_encoder|decoder)\.fuser\.(block[12])\.", r"\1.fuser.\2."),
    (r"value_encoder\.hidden_reinforce\.", "reinforce."),
    (r"value_encoder\.(conv1|bn1|layer[123])\.", r"value_encoder.trunk.net.\1."),
    (r"decoder\.hidden_update\.g(16|8|4)_conv\.", r"decoder.update.at\1."),
    (r"decoder\.hidden_update\.transform\.", "decoder.update.gates.transform."),
    (r"decoder\.up_16_8\.skip_conv\.", "decoder.skip8."),
    (r"decoder\.up_8_4\.skip_conv\.", "decoder.skip4."),
    (r"decoder\.up_16_8\.out_conv\.downsample\.", "decoder.up8.skip."),
    (r"decoder\.up_16_8\.out_conv\.", "decoder.up8."),
    (r"decoder\.up_8_4\.out_conv\.", "decoder.up4."),
    (r"decoder\.pred\.", "decoder.pred."),
]
PROJECTION = "key_proj.key_proj.weight"
UPDATE = "decoder.hidden_update.transform.weight"
MARKS = {"key_encoder.conv1.weight", PROJECTION, "key_proj.d_proj.weight", FIRST, UPDATE}


def recognised(shapes: Mapping[str, tuple[int, ...]]) -> Official | None:
    """XMem, or its stage for still images, whose value encoder knows of no other objects."""
    if not shapes.keys() >= MARKS:
        return None
    stills = len(shapes[FIRST]) > 1 and shapes[FIRST][1] == 4
    return Official("XMem (stage 0, still images)" if stills else "XMem", "xmem", ("size=paper",))


def converted(state: Mapping[str, Tensor]) -> Converted:
    """The weights under our names. What fuses two maps has the frame's channels first there and last here. A value encoder of
    the stage for still images gets a zero plane for the other objects."""
    weights = dict(state)
    first, projection = weights.get(FIRST), weights.get(PROJECTION)
    if first is not None and first.dim() == 4 and first.shape[1] == 4:
        weights[FIRST] = F.pad(first, (0, 0, 0, 0, 0, 1))
    if projection is not None and projection.dim() == 4:
        for key, weight in state.items():
            if re.fullmatch(r"(value_encoder|decoder)\.fuser\.block1\.(conv1|downsample)\.weight", key):
                of_frame, own = weight[:, : projection.shape[1]], weight[:, projection.shape[1] :]
                weights[key] = torch.cat([own, of_frame], 1)
    return sorted_out(weights, lambda key: renamed(key, RULES))
