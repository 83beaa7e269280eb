"""Keys and shapes of AOT's and DeAOT's published files, written down from specification 3 and 11, not from our networks."""

import torch
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]
CHANNELS = {
    "mobilenetv2": (24, 32, 96, 1280),
    "resnet50": (256, 512, 1024, 1024),
    "resnet101": (256, 512, 1024, 1024),
    "swin_base": (128, 256, 512, 512),
}
WIDTH = 256


def official_shapes(encoder: str, blocks: int, *, decoupled: bool) -> Shapes:
    """Everything that a file of that variant holds."""
    c4, c8, c16, deepest = CHANNELS[encoder]
    make = {"mobilenetv2": mobilenet, "swin_base": swin}.get(encoder)
    found = make() if make is not None else resnet(int(encoder[-3:].strip("t")))
    shapes = {f"encoder.{key}": shape for key, shape in found.items()}
    shapes |= conv("encoder_projector", WIDTH, deepest, 1)
    shapes |= conv("patch_wise_id_bank", WIDTH, 11, 16 if encoder == "swin_base" else 17)
    for number in range(blocks):
        block = deaot_block(first=number == 0) if decoupled else aot_block()
        shapes |= {f"LSTT.layers.{number}.{key}": shape for key, shape in block.items()}
    if decoupled:
        shapes |= norm("LSTT.decoder_norms.0.gn", 2 * WIDTH) | norm("id_norm", WIDTH)
    else:
        shapes["LSTT.mask_token"] = (1, 1, WIDTH)
        for number in range(blocks):
            shapes |= norm(f"LSTT.decoder_norms.{number}", WIDTH)
    into = 2 * WIDTH if decoupled else (blocks + 1) * WIDTH
    for name, channels, out, kernel in (
        ("conv_in", into, WIDTH, 1),
        ("conv_16x", WIDTH, WIDTH, 3),
        ("conv_8x", WIDTH, WIDTH // 2, 3),
        ("conv_4x", WIDTH // 2, WIDTH // 2, 3),
    ):
        shapes |= conv(f"decoder.{name}.conv", out, channels, kernel) | norm(f"decoder.{name}.gn", out)
    shapes |= conv("decoder.adapter_16x", WIDTH, c16, 1) | conv("decoder.adapter_8x", WIDTH, c8, 1)
    return shapes | conv("decoder.adapter_4x", WIDTH // 2, c4, 1) | conv("decoder.conv_out", 11, WIDTH // 2, 1)


def official_state(encoder: str, blocks: int, *, decoupled: bool) -> dict[str, Tensor]:
    """Such a file with random weights."""
    generator = torch.Generator().manual_seed(0)
    shapes = official_shapes(encoder, blocks, decoupled=decoupled)
    return {key: torch.rand(shape, generator=generator) * 0.02 for key, shape in shapes.items()}


def norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def linear(name: str, out: int, width: int, bias: bool = True) -> Shapes:
    return {f"{name}.weight": (out, width)} | ({f"{name}.bias": (out,)} if bias else {})


def conv(name: str, out: int, channels: int, kernel: int, bias: bool = True) -> Shapes:
    return {f"{name}.weight": (out, channels, kernel, kernel)} | ({f"{name}.bias": (out,)} if bias else {})


def batch_norm(name: str, width: int) -> Shapes:
    return norm(name, width) | {f"{name}.running_mean": (width,), f"{name}.running_var": (width,)}


def aot_block() -> Shapes:
    shapes = norm("norm1", WIDTH) | norm("norm2", WIDTH) | norm("norm3", WIDTH)
    for name in ("linear_Q", "linear_V", "long_term_attn.projection", "short_term_attn.projection"):
        shapes |= linear(name, WIDTH, WIDTH)
    for name in ("linear_Q", "linear_K", "linear_V", "projection"):
        shapes |= linear(f"self_attn.{name}", WIDTH, WIDTH)
    shapes |= conv("short_term_attn.relative_emb_k", 1800, 32, 1) | {"short_term_attn.relative_emb_v": (8, 32, 225)}
    shapes |= linear("linear1", 4 * WIDTH, WIDTH) | linear("linear2", WIDTH, 4 * WIDTH)
    return shapes | norm("activation.gn", 4 * WIDTH) | conv("activation.conv", 4 * WIDTH, 1, 5, bias=False)


def deaot_block(*, first: bool) -> Shapes:
    shapes = norm("norm1", WIDTH) | norm("norm2", WIDTH) | norm("id_norm2", WIDTH)
    shapes |= linear("linear_QV", WIDTH // 2 + 2 * WIDTH, WIDTH) | linear("linear_U", 2 * WIDTH, WIDTH)
    shapes |= linear("linear_ID_V", 2 * WIDTH, WIDTH if first else 2 * WIDTH)
    if not first:
        shapes |= norm("id_norm1", WIDTH) | linear("linear_ID_U", 2 * WIDTH, WIDTH)
    for part in ("long_term_attn", "short_term_attn", "self_attn"):
        shapes |= conv(f"{part}.dw_conv.conv", 4 * WIDTH, 1, 5, bias=False)
        shapes |= linear(f"{part}.projection", 2 * WIDTH, 4 * WIDTH)
    for name in ("linear_V1", "linear_V2", "linear_U1", "linear_U2"):
        shapes |= linear(f"self_attn.{name}", 2 * WIDTH, WIDTH)
    shapes |= linear("self_attn.linear_QK", WIDTH // 2, 2 * WIDTH)
    return shapes | conv("short_term_attn.relative_emb_k", 225, WIDTH // 2, 1)


def mobilenet() -> Shapes:
    """torchvision's names: all blocks in one row, an expansion in front of each but the first."""
    shapes = conv("features.0.0", 32, 3, 3, bias=False) | batch_norm("features.0.1", 32)
    plan = [(1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1)]
    width, number = 32, 1
    for expansion, out, repeats in plan:
        for _ in range(repeats):
            name, hidden = f"features.{number}.conv", width * expansion
            layers = [(hidden, 1, 3), (out, hidden, 1)]  # depth-wise, then the projection
            if expansion > 1:
                layers = [(hidden, width, 1), *layers]
            for place, (channels, of, kernel) in enumerate(layers):
                last = place == len(layers) - 1
                shapes |= conv(f"{name}.{place}" if last else f"{name}.{place}.0", channels, of, kernel, bias=False)
                shapes |= batch_norm(f"{name}.{place + 1}" if last else f"{name}.{place}.1", channels)
            width, number = out, number + 1
    return shapes | conv("features.18.0", 1280, 320, 1, bias=False) | batch_norm("features.18.1", 1280)


def resnet(depth: int) -> Shapes:
    shapes = conv("conv1", 64, 3, 7, bias=False) | batch_norm("bn1", 64)
    width = 64
    for stage, blocks in enumerate((3, 4, 6 if depth == 50 else 23), start=1):
        hidden = 64 * 2 ** (stage - 1)
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            for number, (out, of, kernel) in enumerate(
                ((hidden, width, 1), (hidden, hidden, 3), (4 * hidden, hidden, 1)), start=1
            ):
                shapes |= conv(f"{name}.conv{number}", out, of, kernel, bias=False) | batch_norm(f"{name}.bn{number}", out)
            if block == 0:
                shapes |= conv(f"{name}.downsample.0", 4 * hidden, width, 1, bias=False)
                shapes |= batch_norm(f"{name}.downsample.1", 4 * hidden)
            width = 4 * hidden
    return shapes


def swin() -> Shapes:
    shapes = conv("patch_embed.proj", 128, 3, 4) | norm("patch_embed.norm", 128)
    for stage, (blocks, heads) in enumerate(((2, 4), (2, 8), (18, 16))):
        width = 128 * 2**stage
        for block in range(blocks):
            name = f"layers.{stage}.blocks.{block}"
            shapes |= norm(f"{name}.norm1", width) | norm(f"{name}.norm2", width)
            shapes |= {
                f"{name}.attn.relative_position_bias_table": (169, heads),
                f"{name}.attn.relative_position_index": (49, 49),
            }
            shapes |= linear(f"{name}.attn.qkv", 3 * width, width) | linear(f"{name}.attn.proj", width, width)
            shapes |= linear(f"{name}.mlp.fc1", 4 * width, width) | linear(f"{name}.mlp.fc2", width, 4 * width)
        if stage < 2:
            shapes |= linear(f"layers.{stage}.downsample.reduction", 2 * width, 4 * width, bias=False)
            shapes |= norm(f"layers.{stage}.downsample.norm", 4 * width)
        shapes |= norm(f"norm{stage}", width)
    return shapes
