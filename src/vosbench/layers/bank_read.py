"""Reading a `MemoryBank` with XMem's anisotropic similarity: one map of a frame becomes one read-out per object.

STMA's ID association (specification 3.8, 5.3) and XMem's memory reading (paper, section 3.3) are this.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vosbench.layers.conv_blocks import conv3x3
from vosbench.layers.matching import affinity, anisotropic_similarity, read_most_similar, read_out
from vosbench.layers.memory_bank import MemoryBank


class KeyProjection(nn.Module):
    """Keys, and for the anisotropic similarity of XMem the shrinkage of memory and the selection of queries."""

    def __init__(self, *, dim: int, key_dim: int, anisotropic: bool) -> None:
        super().__init__()
        self.key = conv3x3(dim, key_dim)
        nn.init.orthogonal_(self.key.weight)
        assert self.key.bias is not None
        nn.init.zeros_(self.key.bias)
        self.shrinkage = conv3x3(dim, 1) if anisotropic else None
        self.selection = conv3x3(dim, key_dim) if anisotropic else None

    def query(self, final: Float[Tensor, "B C h w"]) -> tuple[Float[Tensor, "B Ck L"], Float[Tensor, "B Ck L"] | None]:
        """Key q and selection e of the test frame."""
        selection = None if self.selection is None else self.selection(final).sigmoid().flatten(2)
        return self.key(final).flatten(2), selection

    def memory_shrinkage(self, final: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 1 L"]:
        """Shrinkage s of a frame that is written."""
        if self.shrinkage is None:
            return final.new_ones(final.shape[0], 1, final.shape[2] * final.shape[3])
        return self.shrinkage(final).square().flatten(2) + 1


def read_bank(
    bank: MemoryBank,
    born: list[list[int]],
    query: Float[Tensor, "B Ck L"],
    selection: Float[Tensor, "B Ck L"] | None,
    top_k: int | None,
) -> tuple[Float[Tensor, "B N Cv L"], Float[Tensor, "B M"]]:
    """Read-out of every object, and the weight each element received (averaged over a clip's objects, summed over queries).

    An object reads only elements written since its own registration, number ``born[b][n]`` (negative: not registered), so
    objects registered at one write share one affinity. One softmax over all elements would let those without a value for an
    object absorb its weight.
    """
    similarity = anisotropic_similarity(bank.key, query, bank.shrinkage, selection)
    groups = sorted({write for clip in born for write in clip if write >= 0})
    usage = torch.zeros_like(bank.use)
    batch, objects, width, _ = bank.value.shape
    read = bank.value.new_zeros(batch, objects, width, query.shape[2]) if len(groups) > 1 else None
    for write in groups:
        # Write 0 is the first registration: whoever was registered there reads everything.
        valid = None if write == 0 else bank.write_no >= write
        channels = [channel for channel in range(objects) if any(clip[channel] == write for clip in born)]
        part, weight = _read(similarity, bank.value if read is None else bank.value[:, channels], top_k, valid)
        shares = [clip.count(write) / max(1, sum(number >= 0 for number in clip)) for clip in born]
        usage = usage + weight * torch.tensor(shares, device=usage.device)[:, None]
        if read is None:
            return part, usage
        mine = torch.tensor([[clip[channel] == write for channel in channels] for clip in born], device=usage.device)
        part = part * mine[:, :, None, None]
        read = read.index_add(1, torch.tensor(channels, device=usage.device), part.to(read.dtype))
    assert read is not None
    return read, usage


def _read(
    similarity: Float[Tensor, "B M L"], value: Float[Tensor, "B N Cv M"], top_k: int | None, valid: Bool[Tensor, "B M"] | None
) -> tuple[Float[Tensor, "B N Cv L"], Float[Tensor, "B M"]]:
    if top_k is not None and top_k < value.shape[3]:
        return read_most_similar(similarity, value, top_k, valid)
    weights = affinity(similarity, valid)
    return read_out(weights, value), weights.detach().sum(2)
