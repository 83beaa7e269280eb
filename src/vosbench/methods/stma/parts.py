"""The modules of STMA put together, and what both ways of running them share (paper, Figure 2; specification 3)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vosbench.errors import ConfigError
from vosbench.layers.aggregation import aggregate_prompts, soft_aggregate
from vosbench.layers.bank_read import KeyProjection
from vosbench.methods.method import Method, Prompted
from vosbench.methods.registration import in_passes, spread
from vosbench.methods.stma.backbone import PatchStem, position_code, stem
from vosbench.methods.stma.decoder import Decoder
from vosbench.methods.stma.memory import ObjectMemory, STMAFeatures
from vosbench.methods.stma.object_tokens import ObjectTokens
from vosbench.methods.stma.options import (
    BackboneOptions,
    DecoderOptions,
    MemoryOptions,
    ObjectOptions,
    STMLOptions,
    ValueOptions,
)
from vosbench.methods.stma.stml import STML
from vosbench.methods.stma.value_encoder import ValueEncoder
from vosbench.methods.stma.weights import load_pretrained

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, RGB in [0, 1]
REFERENCE_SAMPLING = ("uniform", "first_plus_random", "streaming")
PUBLISHED_DEPTH = {"convvit_b": 11, "vit_b": 12}


class Parts(Method):
    """Stem, association blocks, value encoder, object tokens, key projection and decoder. Parts an ablation takes away are
    None and have no parameters."""

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        *,
        backbone: BackboneOptions,
        stml: STMLOptions,
        object: ObjectOptions,
        memory: MemoryOptions,
        value: ValueOptions,
        decoder: DecoderOptions,
        ref_sampling: str = "uniform",
        objects_per_pass: int | None = None,
    ) -> None:
        super().__init__()
        if ref_sampling not in REFERENCE_SAMPLING:
            raise ConfigError(f"method.ref_sampling={ref_sampling}: expected one of {', '.join(REFERENCE_SAMPLING)}.")
        if objects_per_pass is not None and objects_per_pass < 1:
            raise ConfigError(f"method.objects_per_pass={objects_per_pass}: must be at least 1, or null for all at once.")
        self.options, self.ref_sampling, self.objects_per_pass = memory, ref_sampling, objects_per_pass
        self.backbone, self.joint = backbone, stml.mode == "joint"
        # Joint attention lets the references read the test frame, so nothing of theirs outlives it.
        self.cache_kept, self.dim = stml.cache and not self.joint, stml.dim
        self.stem = stem(backbone, stml.dim)
        self.stml = STML(
            dim=stml.dim,
            depth=stml.depth or PUBLISHED_DEPTH[backbone.name],
            heads=stml.heads,
            mlp_ratio=stml.mlp_ratio,
            recompute=stml.checkpoint,
        )
        temporal, read_dim = memory.temporal, value.dim if memory.temporal else 0
        self.value = None
        if temporal or object.enabled:
            self.value = ValueEncoder(
                trunk=value.trunk,
                trunk_options=value.trunk_options,
                pretrained=bool(value.pretrained),
                dim=value.dim,
                token_dim=stml.dim,
            )
        self.object = None
        self.anchor_dim, self.value_dim = (object.anchor_dim if object.enabled else 0), value.dim
        if object.enabled:
            self.object = ObjectTokens(value_dim=value.dim, anchor_dim=object.anchor_dim, dim=stml.dim)
        self.key = None
        if temporal:
            self.key = KeyProjection(dim=stml.dim, key_dim=temporal.key_dim, anisotropic=temporal.affinity == "anisotropic")
        self.mask_embed = None if temporal else nn.Conv2d(1, stml.dim, 16, stride=16)
        self.decoder = Decoder(channels=stml.dim + read_dim, fine_channels=backbone.channels, dims=decoder.dims)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)
        if backbone.pretrained is not None:
            load_pretrained(self.stem, self.stml, backbone)

    def encode(self, frames: Float[Tensor, "B 3 H W"]) -> STMAFeatures:
        """Normalise, stem, position code: raw tokens and the fine maps."""
        image = (frames - self.mean) / self.deviation
        tokens, fine4, fine8 = self.stem(image)
        position = position_code(self.backbone, (frames.shape[2], frames.shape[3]), self.dim, frames.device)
        return STMAFeatures(image, tokens + position.to(tokens.dtype), fine4, fine8)

    def merge(self, prob: Float[Tensor, "B K H W"], prompted: Prompted) -> Float[Tensor, "B K H W"]:
        """A prompt is remembered in the same form as a prediction (specification 5.2, step 5)."""
        return aggregate_prompts(prob, prompted.planes, prompted.given)

    def as_map(self, tokens: Float[Tensor, "P L C"], size: tuple[int, int]) -> Float[Tensor, "P C h w"]:
        """Tokens of a frame of that size (H, W) as a map."""
        return tokens.transpose(1, 2).unflatten(2, (size[0] // self.stride, size[1] // self.stride))

    def id_values(
        self,
        features: STMAFeatures,
        final: Float[Tensor, "F C h w"],
        planes: Float[Tensor, "B N H W"],
        pairs: Int[Tensor, "2 P"],
        *,
        per_object: bool,
    ) -> Float[Tensor, "P Cv h w"]:
        """ID value of every registered object. `final` has one map per clip, or per object in a run of its own, which then
        knows nothing of other objects."""
        value = self.value
        assert value is not None
        total = planes.sum(1, keepdim=True)

        def encode(number: Tensor, clip: Tensor, channel: Tensor) -> Tensor:
            own = planes[clip, channel][:, None]
            others = torch.zeros_like(own) if per_object else (total[clip] - own).clamp(min=0)
            return value(features.image[clip], own, others, final[number if per_object else clip])

        return in_passes(encode, pairs, self.objects_per_pass)

    def decode(
        self,
        features: STMAFeatures,
        final: Float[Tensor, "F C h w"],
        read: Float[Tensor, "B N Cv h w"] | None,
        memory: ObjectMemory,
    ) -> Float[Tensor, "B K H W"]:
        """Aggregated logits of a frame; `read` None: `final` has one map per object, already its own."""
        if isinstance(self.stem, PatchStem):
            fine4, fine8 = self.stem.fine_maps(final)
        else:
            assert features.fine4 is not None
            assert features.fine8 is not None
            fine4, fine8 = features.fine4, features.fine8
        skip4, skip8 = self.decoder.skips(fine4, fine8)

        def decode(number: Tensor, clip: Tensor, channel: Tensor) -> Tensor:
            fine = number if isinstance(self.stem, PatchStem) and read is None else clip
            x = final[number] if read is None else torch.cat([final[clip], read[clip, channel]], 1)
            return self.decoder(x, skip4[fine], skip8[fine])

        logits = spread(in_passes(decode, memory.pairs, self.objects_per_pass), memory.pairs, memory.registered.shape)
        return soft_aggregate(logits, memory.registered)

    def nobody(self, features: STMAFeatures, memory: ObjectMemory) -> Float[Tensor, "B K h w"]:
        """Logits while no object is registered: background with probability one."""
        batch, objects = memory.registered.shape
        empty = features.image.new_zeros(batch, objects, memory.size[0] // self.stride, memory.size[1] // self.stride)
        return soft_aggregate(empty, memory.registered)

    def drawn(self, written: int, refs: int) -> list[int]:
        """Places of the reference frames of a training frame, of `written` past ones (specification 6.1).

        From torch's global generator, which the training seeds at every step.
        """
        if self.ref_sampling == "uniform":
            return torch.randperm(written)[:refs].tolist()
        return [0, *(torch.randperm(written - 1)[: refs - 1] + 1).tolist()]
