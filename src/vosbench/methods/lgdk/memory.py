"""What LGDK carries from frame to frame beside the stored frames, and what it makes of an image (specification 5)."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vosbench.methods.lgdk.object_features import is_seen, object_feature, running_mean
from vosbench.methods.registration import spread
from vosbench.methods.space_time import SpaceTimeFeatures, SpaceTimeMemory


@dataclass
class LGDKFeatures(SpaceTimeFeatures):
    """Maps of the query encoder and what is made of the deepest."""

    fine4: Float[Tensor, "B c4 h4 w4"]
    fine8: Float[Tensor, "B c8 h8 w8"]
    value: Float[Tensor, "B Cv h w"]  # the frame's own part of what is decoded


@dataclass(kw_only=True)
class LGDKMemory(SpaceTimeMemory):
    """The same size however long the video: the mean of an object's vectors, their number, and the latest."""

    overall: Float[Tensor, "B N C"]  # global: mean over all past frames that count
    count: Float[Tensor, "B N"]
    latest: Float[Tensor, "B N C"]  # local: of the latest frame that counts

    def grown_fields(self, objects: int) -> dict[str, Any]:
        """The fields that a longer object axis changes."""
        more = objects - self.objects
        return {
            **super().grown_fields(objects),
            "overall": F.pad(self.overall, (0, 0, 0, more)),
            "count": F.pad(self.count, (0, more)),
            "latest": F.pad(self.latest, (0, 0, 0, more)),
        }

    def with_features(self, feature: Float[Tensor, "P C h w"], mask: Float[Tensor, "P H W"], *, skip_empty: bool) -> "LGDKMemory":
        """With one more frame's map and mask of every registered object."""
        shape = self.registered.shape
        vector = spread(object_feature(feature, mask), self.pairs, shape)
        seen = is_seen(mask) if skip_empty else torch.ones_like(mask[:, 0, 0], dtype=torch.bool)
        counts = spread(seen, self.pairs, shape)
        overall, count = running_mean(self.overall, self.count, vector, counts)
        latest = torch.where(counts[:, :, None], vector, self.latest)
        return dataclasses.replace(self, overall=overall, count=count, latest=latest)
