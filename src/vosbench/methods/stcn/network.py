"""STCN, space-time correspondence networks (NeurIPS 2021): the baseline on which LGDK and STMA's recipes build.

Keys come from images alone, so all objects share one affinity, by squared distance; values come from a light encoder that
sees image and masks, on stored frames only. Paper, Figure 2 and section 3; section 11 of our specification of LGDK.
"""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from vosbench.errors import ConfigError
from vosbench.layers.conv_blocks import conv3x3, key_head
from vosbench.layers.trunk import Trunk, TrunkOptions
from vosbench.layers.value_encoder import ValueEncoder
from vosbench.methods.registration import in_passes, spread
from vosbench.methods.space_time import MemoryOptions, SpaceTimeFeatures, SpaceTimeMemory, SpaceTimeMethod
from vosbench.methods.stcn.decoder import Decoder


@dataclass
class STCNFeatures(SpaceTimeFeatures):
    """Maps of the key encoder and what is made of the deepest."""

    fine4: Float[Tensor, "B c4 h4 w4"]
    fine8: Float[Tensor, "B c8 h8 w8"]
    deep: Float[Tensor, "B c16 h w"]
    thin: Float[Tensor, "B Ct h w"]  # the frame's own part of what is decoded


class STCN(SpaceTimeMethod):
    """The method: see the module's first lines."""

    similarity = "l2"
    shared_keys = True

    def __init__(
        self,
        *,
        key_trunk: TrunkOptions,
        value_trunk: TrunkOptions,
        key_dim: int,
        value_dim: int,
        decoder_dims: list[int],
        memory: MemoryOptions,
        objects_per_pass: int | None,
    ) -> None:
        """`decoder_dims`: channels at strides 16, 8 and 4."""
        super().__init__(memory, objects_per_pass)
        if len(decoder_dims) != 3:
            raise ConfigError(f"method.decoder_dims={decoder_dims}: expected three widths, for strides 16, 8 and 4.")
        self.key_encoder = Trunk(key_trunk, key="method.key_trunk.pretrained")
        c4, c8, c16 = self.key_encoder.channels
        self.key_proj, self.thin = key_head(c16, key_dim), conv3x3(c16, value_dim)
        self.value_encoder = ValueEncoder(value_trunk, c16, value_dim, biases=True)
        self.decoder = Decoder(read_dim=value_dim, thin_dim=value_dim, fine_channels=(c4, c8), dims=decoder_dims)

    def encode(self, frames: Float[Tensor, "B 3 H W"]) -> STCNFeatures:
        """Maps and key of images; objects play no part."""
        image = self.normalised(frames)
        fine4, fine8, deep = self.key_encoder(image)
        key = self.key_proj(deep).flatten(2).transpose(1, 2)
        return STCNFeatures(image, key, fine4, fine8, deep, self.thin(deep))

    def decode(self, features: Any, read: Float[Tensor, "B N Cv h w"], memory: Any) -> Float[Tensor, "P H W"]:
        """Logits of the registered objects; the frame's own part is worked out once for all of them."""
        of_frame = self.decoder.of_frame(features.thin, features.fine8, features.fine4)

        def decode(number: Tensor, clip: Tensor, channel: Tensor) -> Tensor:
            return self.decoder(read[clip, channel], of_frame, clip)

        return in_passes(decode, memory.pairs, self.objects_per_pass)

    def remember(
        self, features: Any, planes: Float[Tensor, "B N H W"], memory: SpaceTimeMemory, stored: bool
    ) -> tuple[SpaceTimeMemory, tuple[Float[Tensor, "B 1 L Ck"], Float[Tensor, "B N L Cv"]] | None]:
        """The frame's key, and the value of every registered object; a frame that is not stored costs nothing."""
        if not stored:
            return memory, None
        total, of_frame = planes.sum(1, keepdim=True), self.value_encoder.fuser.of_frame(features.deep)

        def encode(number: Tensor, clip: Tensor, channel: Tensor) -> Tensor:
            own = planes[clip, channel][:, None]
            value = self.value_encoder(features.image[clip], own, total[clip] - own, of_frame, clip)
            return value.flatten(2).transpose(1, 2)

        value = in_passes(encode, memory.pairs, self.objects_per_pass)
        return memory, (features.key[:, None], spread(value, memory.pairs, memory.registered.shape))
