"""More objects than identities: groups of objects, each with a memory of its own, made one distribution (specification 5.5)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

SMALLEST = 1e-5  # probabilities are kept in [1e-5, 1 - 1e-5] when groups are merged


def lowest(logits: Tensor) -> float:
    """Logit of what cannot be. Source: the public code."""
    return -1e4 if logits.dtype == torch.float16 else -1e10


def masked(logits: Float[Tensor, "B K h w"], used: Bool[Tensor, "B N"]) -> Float[Tensor, "B K h w"]:
    """No probability for channels without an object; the background, in front, always counts."""
    return logits.masked_fill(~F.pad(used, (1, 0), value=True)[:, :, None, None], lowest(logits))


def merged(logits: dict[int, Tensor], members: dict[int, slice], used: Bool[Tensor, "B N"]) -> Float[Tensor, "B N+1 h w"]:
    """Logits over background and all N channels, from those of each group over background and its `members`.

    One group's pass as they are. Of several, the background is what no group claims: ``p_0 = prod_g p_0,g``; an object has
    the probability that its group gives it; and the logits are ``log(p / (1 - p))``.

    Decision: channels that hold no object stay out of the distribution; the public code leaves them a share of 1e-5 each.
    """
    parts = list(logits.items())
    size = parts[0][1].shape[2:]
    full = parts[0][1].new_full((used.shape[0], used.shape[1] + 1, *size), 0.0, dtype=torch.float32)
    if len(parts) == 1:
        group, own = parts[0]
        full = masked(full, torch.zeros_like(used))
        start, stop = members[group].start, members[group].stop
        return torch.cat([own[:, :1], full[:, 1 : start + 1], own[:, 1:], full[:, stop + 1 :]], 1)
    background = full[:, :1] + 1
    planes = list(full[:, 1:].split(1, 1))
    for group, own in parts:
        prob = own.float().softmax(1)
        background = background * prob[:, :1]
        planes[members[group]] = prob[:, 1:].split(1, 1)
    return masked(torch.cat([background, *planes], 1).logit(eps=SMALLEST), used)
