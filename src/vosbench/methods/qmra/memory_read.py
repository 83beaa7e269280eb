"""Memory read (equation 6; specification 3.4): every location of the query averages the values of the whole memory."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vosbench.methods.qmra.folded import rows

KeyValue = tuple[Tensor | None, Tensor]  # of one object in one frame: (L, Ck), (L, Cv)


def read(
    query_key: Float[Tensor, "M Ck h w"] | None, memories: list[list[KeyValue]], size: tuple[int, int], *, scaled: bool
) -> Float[Tensor, "M Cv h w"]:
    """What each object reads out of its own frames, as a feature map of `size` (h, w).

    Softmax over the T h w locations of the memory, in float32. `scaled` divides the logits by sqrt(Ck). Objects with equally
    many frames are read together. `query_key` None: ablation "w/o QMA", the mean over the frames, each location its own.
    """
    groups: dict[int, list[int]] = {}
    for place, memory in enumerate(memories):
        groups.setdefault(len(memory), []).append(place)
    parts = []
    for places in groups.values():
        value = torch.stack([torch.stack([value for _, value in memories[place]]) for place in places])  # G T L Cv
        if query_key is None:
            parts.append(value.float().mean(1))
            continue
        key = torch.stack([torch.cat([key for key, _ in memories[place] if key is not None]) for place in places])  # G TL Ck
        query = rows(query_key, places)
        parts.append(_attended(query.flatten(2).transpose(1, 2), key, value.flatten(1, 2), scaled=scaled))
    order = [place for places in groups.values() for place in places]
    tokens = rows(torch.cat(parts), [order.index(place) for place in range(len(order))])
    return tokens.transpose(1, 2).unflatten(2, size)


def _attended(
    query: Float[Tensor, "G L Ck"], key: Float[Tensor, "G M Ck"], value: Float[Tensor, "G M Cv"], *, scaled: bool
) -> Float[Tensor, "G L Cv"]:
    # Autocast off: it would bring the logits and their softmax down to 16 bits.
    with torch.autocast(query.device.type, enabled=False):
        scale = None if scaled else 1.0
        return F.scaled_dot_product_attention(query.float(), key.float(), value.float(), scale=scale)
