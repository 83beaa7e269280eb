"""Trained weights of the public backbones, by the names of their files (specification 3.2, 3.4)."""

import argparse
import pickle
import re
from pathlib import Path

import torch
from torch import Tensor, nn

from vosbench.errors import CheckpointError, ConfigError
from vosbench.layers.timm_backbone import timm_network
from vosbench.methods.stma.options import BackboneOptions

# Our key <- key of the file; what matches nothing must be on the list of what is dropped.
_BLOCK = r"(norm1|attn\.qkv|attn\.proj|norm2|mlp\.fc1|mlp\.fc2)\."
KEYS = {
    "convmae": [
        (r"patch_embed([123])\.(proj|norm)\.", r"stem.pe\1.\2."),
        (r"patch_embed4\.", r"stem.pe4."),
        (r"blocks([12])\.(\d+)\.", r"stem.b\1.\2."),
        (rf"blocks3\.(\d+)\.{_BLOCK}", r"stml.blocks.\1.\2."),
        (r"norm\.", r"stml.norm."),
    ],
    "vit": [
        (r"patch_embed\.proj\.", r"stem.proj."),
        (rf"blocks\.(\d+)\.{_BLOCK}", r"stml.blocks.\1.\2."),
        (r"norm\.", r"stml.norm."),
    ],
}
DROPPED = re.compile(r"pos_embed|cls_token|mask_token|decoder_|stage[12]_output_decode\.|head\.|fc_norm\.")
MOCOV3_PREFIX = "module.base_encoder."


def load_pretrained(stem: nn.Module, stml: nn.Module, options: BackboneOptions) -> None:
    """Fill stem and association blocks with the backbone's trained weights; raises if a key is missing or unknown."""
    kind, expected = options.pretrained, "convvit_b" if options.pretrained == "convmae" else "vit_b"
    if options.name != expected:
        raise ConfigError(
            f"method.backbone.pretrained={kind}: these are weights of {expected}, but method.backbone.name={options.name}; "
            f"choose method.backbone.name={expected} or other weights."
        )
    if options.checkpoint is not None:
        state, source = read_state(Path(options.checkpoint)), options.checkpoint
    elif kind == "mae":
        source = "vit_base_patch16_224.mae"
        network = timm_network(source, pretrained=True, key="method.backbone.pretrained", num_classes=0)
        state = dict(network.state_dict())
    else:
        raise ConfigError(
            f"method.backbone.pretrained={kind} needs its file: set method.backbone.checkpoint=FILE, "
            "or method.backbone.pretrained=null for random weights."
        )
    if kind == "mocov3":
        state = {key.removeprefix(MOCOV3_PREFIX): value for key, value in state.items() if key.startswith(MOCOV3_PREFIX)}
    _fill(stem, stml, renamed(state, "convmae" if kind == "convmae" else "vit", source), source)


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors of a weight file, possibly below a top-level `model` or `state_dict`."""
    if not path.is_file():
        raise ConfigError(f"method.backbone.checkpoint={path}: there is no such file; give the downloaded weights' path.")
    try:
        # The public files keep their training's arguments, plain values in a Namespace.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise CheckpointError(
            f"{path}: not readable as a file of weights ({str(error).splitlines()[0]}); download it again."
        ) from error
    for key in ("model", "state_dict"):
        if isinstance(content, dict) and key in content:
            content = content[key]
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds {type(content).__name__}, expected weights by name; give a file of weights.")
    return {key: value for key, value in content.items() if isinstance(value, Tensor)}


def renamed(state: dict[str, Tensor], layout: str, source: str) -> dict[str, Tensor]:
    """The same weights under our names; those that STMA has no use for are dropped."""
    ours, unknown = {}, []
    for key, value in state.items():
        for pattern, name in KEYS[layout]:
            new, count = re.subn(f"^{pattern}", name, key)
            if count:
                ours[new] = value
                break
        else:
            if not DROPPED.match(key):
                unknown.append(key)
    if unknown:
        raise CheckpointError(f"{source}: unexpected weights {', '.join(unknown)}; is it the file of another network?")
    return ours


def _fill(stem: nn.Module, stml: nn.Module, state: dict[str, Tensor], source: str) -> None:
    both = nn.ModuleDict({"stem": stem, "stml": stml})
    wanted = both.state_dict()
    # ViT's upsampling layers are SimVOS's, no file of a backbone has them.
    missing = [key for key in wanted if key not in state and not re.match(r"stem\.up[48]\.", key)]
    unknown = [key for key in state if key not in wanted]
    wrong = [key for key, value in state.items() if key in wanted and value.shape != wanted[key].shape]
    if missing or unknown or wrong:
        raise CheckpointError(
            f"{source}: does not fit the backbone (missing: {', '.join(missing) or 'none'}; unexpected: "
            f"{', '.join(unknown) or 'none'}; other shape: {', '.join(wrong) or 'none'}); "
            "check method.backbone.name, method.stml.depth and method.stml.dim."
        )
    both.load_state_dict(state, strict=False)
