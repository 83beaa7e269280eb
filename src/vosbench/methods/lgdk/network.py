"""LGDK, local and global dynamic kernels for video object segmentation (YouTube-VOS 2022, fourth place).

STM's space-time memory, whose last convolution is made anew for each object and frame out of what the object has looked
like: in the frame before (local) and on average so far (global). Paper, Figure 1; sections are those of our specification.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vosbench.layers.conv_blocks import conv3x3, key_head
from vosbench.methods.lgdk.aspp import ASPP, ASPPOptions
from vosbench.methods.lgdk.backbones import Backbone, BackboneOptions
from vosbench.methods.lgdk.decoder import Decoder
from vosbench.methods.lgdk.kernels import KernelGenerator, KernelOptions
from vosbench.methods.lgdk.memory import LGDKFeatures, LGDKMemory
from vosbench.methods.registration import in_passes, spread, unregistered
from vosbench.methods.space_time import MemoryOptions, SpaceTimeMethod


class LGDK(SpaceTimeMethod):
    """The method: see the module's first lines. Parts that an ablation takes away are None and have no parameters."""

    similarity = "dot"
    shared_keys = False  # keys depend on the mask

    def __init__(
        self,
        *,
        backbone: BackboneOptions,
        key_dim: int,
        key_gain: float,
        value_dim: int,
        dim: int,
        kernels: KernelOptions,
        aspp: ASPPOptions,
        memory: MemoryOptions,
        objects_per_pass: int | None,
    ) -> None:
        """`dim`: width of the decoder; `key_gain`: of the keys' first weights, above 1 for a match that is sharper at first."""
        super().__init__(memory, objects_per_pass)
        self.skip_empty = kernels.skip_empty
        self.enc_q = Backbone(backbone)
        # The image, the object's own mask, those of the others.
        self.enc_m = Backbone(backbone, deepest_only=True, planes=2)
        c4, c8, self.channels = self.enc_q.channels
        self.key_q, self.value_q = key_head(self.channels, key_dim), conv3x3(self.channels, value_dim)
        self.key_m, self.value_m = key_head(self.channels, key_dim), conv3x3(self.channels, value_dim)
        # Decision: both begin alike, as ImageNet's weights let the encoders do, so that looks can be matched from the first
        # step. Strangers learn to read the same tokens at every query instead, those of the object, and stay with that.
        self.enc_m.start_from(self.enc_q)
        with torch.no_grad():
            self.key_q.weight.mul_(key_gain)
        self.key_m.load_state_dict(self.key_q.state_dict())
        self.aspp = ASPP(aspp, 2 * value_dim) if aspp.enabled else None
        read = aspp.channels if aspp.enabled else 2 * value_dim
        self.decoder = Decoder(channels=read, fine_channels=(c4, c8), dim=dim, static=not kernels.enabled)
        self.kernels = KernelGenerator(kernels, self.channels, dim) if kernels.enabled else None

    def start(self, batch: int, objects: int, size: tuple[int, int]) -> LGDKMemory:
        """Nothing registered, nothing stored, nothing seen."""
        vectors = torch.zeros(batch, objects, self.channels, device=self.device)
        return LGDKMemory(
            objects=objects,
            size=size,
            overall=vectors,
            count=vectors[:, :, 0],
            latest=vectors,
            **unregistered(batch, objects, self.device),
        )

    def encode(self, frames: Float[Tensor, "B 3 H W"]) -> LGDKFeatures:
        """Maps, key and value of images; objects play no part."""
        image = self.normalised(frames)
        fine4, fine8, deep = self.enc_q(image)
        return LGDKFeatures(image, self.key_q(deep).flatten(2).transpose(1, 2), fine4, fine8, self.value_q(deep))

    def decode(self, features: Any, read: Float[Tensor, "B N Cv h w"], memory: Any) -> Float[Tensor, "P H W"]:
        """Logits of the registered objects."""
        of_frame = self.decoder.of_frame(features.fine4, features.fine8)

        def decode(number: Tensor, clip: Tensor, channel: Tensor) -> Tensor:
            x = torch.cat([read[clip, channel], features.value[clip]], 1)
            kernel = None
            if self.kernels is not None:
                kernel = self.kernels(memory.overall[clip, channel], memory.latest[clip, channel])
            return self.decoder(x if self.aspp is None else self.aspp(x), of_frame, clip, kernel)

        return in_passes(decode, memory.pairs, self.objects_per_pass)

    def remember(
        self, features: Any, planes: Float[Tensor, "B N H W"], memory: Any, stored: bool
    ) -> tuple[LGDKMemory, tuple[Float[Tensor, "B N L Ck"], Float[Tensor, "B N L Cv"]] | None]:
        """Object features of every frame; keys and values of those that are stored. Without kernels others cost nothing."""
        if not stored and self.kernels is None:
            return memory, None
        total = planes.sum(1, keepdim=True)

        def encode(number: Tensor, clip: Tensor, channel: Tensor) -> Tensor:
            own = planes[clip, channel][:, None]
            return self.enc_m(torch.cat([features.image[clip], own, (total[clip] - own).clamp(0, 1)], 1))[0]

        feature = in_passes(encode, memory.pairs, self.objects_per_pass)
        clip, channel = memory.pairs
        if self.kernels is not None:
            memory = memory.with_features(feature, planes[clip, channel], skip_empty=self.skip_empty)
        if not stored:
            return memory, None
        key, value = (head(feature).flatten(2).transpose(1, 2) for head in (self.key_m, self.value_m))
        shape = memory.registered.shape
        return memory, (spread(key, memory.pairs, shape), spread(value, memory.pairs, shape))
