"""The modules of QMRA put together, and the two stages on a set of objects (paper, Figure 2; specification 3).

Objects are folded into the batch: M of them, each given by its clip, and every one of them alone.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vosbench.errors import ConfigError
from vosbench.layers.winograd import LEAST_CHANNELS, use_channels_last
from vosbench.methods.method import Method
from vosbench.methods.qmra.channel_aggregation import ChannelAggregation, KeyValueHead, PlainAggregation
from vosbench.methods.qmra.decoder import Decoder, target
from vosbench.methods.qmra.folded import rows
from vosbench.methods.qmra.memory import QMRAFeatures
from vosbench.methods.qmra.memory_read import KeyValue, read
from vosbench.methods.qmra.options import BoxOptions, Form, MemoryOptions, TrunkOptions
from vosbench.methods.qmra.refinement import CascadedRefinement
from vosbench.methods.qmra.trunk import image_trunk, keep_statistics, map_trunk

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, RGB in [0, 1]


@dataclass
class Encoded:
    """A frame with the maps of M objects, encoded."""

    f4: Float[Tensor, "M C4 h4 w4"]
    f8: Float[Tensor, "M C8 h8 w8"]
    key: Float[Tensor, "M Ck h w"] | None
    value: Float[Tensor, "M Cv h w"]

    def remembered(self) -> list[KeyValue]:
        """Keys and values as the memory keeps them, each object's in a storage of its own, which goes when it goes."""
        keys: list[Tensor | None] = [None] * len(self.value) if self.key is None else [_tokens(key) for key in self.key]
        return [(key, _tokens(value)) for key, value in zip(keys, self.value, strict=True)]


class Parts(Method):
    """Encoders, heads, aggregations, decoders and refinement. What an ablation takes away is None and has no parameters."""

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        *,
        trunk: TrunkOptions,
        memory: MemoryOptions,
        key_dim: int,
        value_dim: int,
        bca_hidden: int | None,
        decoder_dim: int,
        stages: int = 2,
        prior: str = "box",
        siamese: bool = True,
        read: str = "attention",
        read_scale: str = "sqrt",
        bca: bool = True,
        crm: bool | None = None,
        crm_coord: bool = True,
        crm_source: str = "a2",
        decoder_entry: str = "global_conv",
        feed: str = "rect",
        train_feed: str = "soft",
        box_threshold: float = 0.5,
        box_component: str = "largest",
        clip_to_box: bool = False,
        objects_per_pass: int | None = None,
    ) -> None:
        """`bca_hidden` None: an eighth of `value_dim`. What the others mean: `options`."""
        super().__init__()
        self.form = Form(
            stages=stages,
            prior=prior,
            siamese=siamese,
            read=read,
            read_scale=read_scale,
            bca=bca,
            crm=crm,
            crm_coord=crm_coord,
            crm_source=crm_source,
            decoder_entry=decoder_entry,
        )
        self.box = BoxOptions(
            feed=feed, train_feed=train_feed, threshold=box_threshold, component=box_component, clip_masks=clip_to_box
        )
        if objects_per_pass is not None and objects_per_pass < 1:
            raise ConfigError(f"method.objects_per_pass={objects_per_pass}: must be at least 1, or null for all at once.")
        self.options, self.objects_per_pass = memory, objects_per_pass
        self.f_q = image_trunk(trunk)
        c4, c8, c16 = self.f_q.feature_info.channels()
        self.f_m = map_trunk(self.f_q)
        self.kv_m = KeyValueHead(c16, key_dim if read == "attention" else None, value_dim)
        # Decision: heads begin alike, as their encoders do, so that what looks alike matches from the first step on. With heads
        # drawn one by one the first match is as good as uniform, and a small network takes a thousand steps to find it.
        self.kv_q = copy.deepcopy(self.kv_m)
        self.f_r = self.kv_r = None
        if not siamese:
            self.f_r, self.kv_r = map_trunk(self.f_q), copy.deepcopy(self.kv_m)

        def aggregation() -> nn.Module:
            # Decision: a bottleneck of a sixteenth of the 2 Cv channels, the ratio of squeeze-and-excitation.
            return ChannelAggregation(value_dim, bca_hidden or value_dim // 8) if bca else PlainAggregation()

        def decoder() -> Decoder:
            return Decoder(2 * value_dim, (c4, c8), decoder_dim, entry=decoder_entry)

        self.bca1, self.bca2 = aggregation(), aggregation() if stages == 2 else None
        self.dec_b = decoder() if stages == 2 else None
        self.dec_s = decoder()
        self.crm = None
        if self.form.refines:
            self.crm = CascadedRefinement(2 * value_dim, decoder(), coord=crm_coord, source=crm_source)
        # A sixth of the time of training and of streaming on a CPU. Of wide convolutions those of NNPACK are quicker still.
        if decoder_dim < LEAST_CHANNELS:
            self.to(memory_format=torch.channels_last)
        else:
            use_channels_last(self)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)

    def train(self, mode: bool = True) -> "Parts":
        """Batch norms of the trunks keep their statistics."""
        super().train(mode)
        for network in (self.f_q, self.f_m, self.f_r):
            if network is not None:
                keep_statistics(network)
        return self

    def encode(self, frames: Float[Tensor, "B 3 H W"]) -> QMRAFeatures:
        """The normalised image. f_q waits for `segment`: a frame in which no object has to be found never needs it, as every
        prompted frame of a training clip."""
        return QMRAFeatures((frames - self.mean) / self.deviation)

    def with_maps(self, image: Float[Tensor, "M 3 H W"], maps: Float[Tensor, "M 1 H W"], *, as_query: bool = False) -> Encoded:
        """Image and map encoded: for the memory, and, in the siamese form, for the query of stage 2 alike (equation 5)."""
        network, head = self.f_m, self.kv_m
        if as_query and self.f_r is not None and self.kv_r is not None:
            network, head = self.f_r, self.kv_r
        f4, f8, f16 = network(torch.cat([image, maps], 1))
        return Encoded(f4, f8, *head(f16))

    def first_stage(
        self, features: QMRAFeatures, clips: list[int], memories: list[list[KeyValue]]
    ) -> tuple[Float[Tensor, "M 2 H W"], list[Tensor]]:
        """Logits of stage 1 (equations 1, 2) and F_a^1 of each object. The image is encoded once for all objects of a clip."""
        used = sorted(set(clips))
        f4, f8, f16 = self.f_q(rows(features.image, used))
        keys, values = self.kv_q(f16)
        decoder = self.dec_s if self.dec_b is None else self.dec_b
        side4, side8 = decoder.sides(f4, f8)
        logits, joined = [], []
        for part in self.passes(len(clips)):
            place = [used.index(clip) for clip in clips[part]]
            found = self._read(None if keys is None else rows(keys, place), memories[part], values)
            joined.append(self.bca1(rows(values, place), found))
            logits.append(decoder(joined[-1], rows(side4, place), rows(side8, place)))
        return torch.cat(logits), [feature for features in joined for feature in features]

    def second_stage(
        self, query: Encoded, maps: Float[Tensor, "M 1 H W"], first: list[Tensor | None], memories: list[list[KeyValue]]
    ) -> tuple[Float[Tensor, "M 2 H W"], Float[Tensor, "M 2 H W"] | None]:
        """Logits of the mask S (equations 3, 4), and of the refined one where there is a refinement.

        `first` is F_a^1; where stage 1 did not run, F_a^2 stands in for it (Decision: the prompted frame, crm_source=a1a2).
        """
        assert self.bca2 is not None
        joined = self.bca2(query.value, self._read(query.key, memories, query.value))
        mask = self.dec_s(joined, *self.dec_s.sides(query.f4, query.f8))
        if self.crm is None:
            return mask, None
        both = None
        if self.form.crm_source == "a1a2":
            both = torch.stack([new if old is None else old for old, new in zip(first, joined, strict=True)])
        return mask, self.crm(both, joined, maps, target(mask), self.crm.dec.sides(query.f4, query.f8))

    def passes(self, objects: int) -> Iterator[slice]:
        """The objects in runs of at most `objects_per_pass`."""
        length = self.objects_per_pass or max(1, objects)
        for begin in range(0, objects, length):
            yield slice(begin, begin + length)

    def _read(self, query_key: Tensor | None, memories: list[list[KeyValue]], like: Tensor) -> Tensor:
        size = (like.shape[2], like.shape[3])
        return read(query_key, memories, size, scaled=self.form.read_scale == "sqrt").to(like.dtype)


def _tokens(feature: Float[Tensor, "C h w"]) -> Float[Tensor, "L C"]:
    return feature.flatten(1).T.clone(memory_format=torch.contiguous_format)
