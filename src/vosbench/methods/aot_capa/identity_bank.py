"""Identity bank: the masks of all objects of a frame as one embedding (specification 3.4)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


class IdentityBank(nn.Module):
    """Every identity has a vector for each place inside a patch; a token is the sum over its patch, so E is linear in the
    one-hot mask. `norm` adds a LayerNorm (DeAOT)."""

    def __init__(self, identities: int, dim: int, *, align_corners: bool, norm: bool) -> None:
        super().__init__()
        # The tokens of maps that share their corners lie on the pixels 0, 16, 32, ...; those of other maps between pixels.
        kernel, padding = (17, 8) if align_corners else (16, 0)
        self.conv = nn.Conv2d(identities + 1, dim, kernel, stride=16, padding=padding)
        self.norm = nn.LayerNorm(dim) if norm else nn.Identity()
        nn.init.orthogonal_(self.conv.weight.view(dim, -1), gain=kernel**-2)

    @property
    def identities(self) -> int:
        """M, objects that one embedding can hold."""
        return self.conv.in_channels - 1

    def forward(self, one_hot: Float[Tensor, "B K H W"]) -> Float[Tensor, "B S C"]:
        embedded = self.conv(one_hot.contiguous(memory_format=torch.channels_last))
        return self.norm(embedded.flatten(2).transpose(1, 2))

    def embed(self, label_map: Int[Tensor, "B H W"]) -> Float[Tensor, "B S C"]:
        """Of a map that holds an identity 1..M or 0 for each pixel."""
        if not torch.is_grad_enabled():
            return self.norm(self._looked_up(label_map))
        numbers = torch.arange(self.identities + 1, device=label_map.device)
        return self((label_map[:, :, :, None] == numbers).to(self.conv.weight.dtype).permute(0, 3, 1, 2))

    def _looked_up(self, label_map: Int[Tensor, "B H W"]) -> Float[Tensor, "B S C"]:
        """The convolution of a one-hot mask as what it is: one vector added up for each pixel of a patch, whatever M is."""
        side, step, margin = self.conv.kernel_size[0], self.conv.stride[0], int(self.conv.padding[0])
        dim, classes = self.conv.weight.shape[:2]
        outside = classes * side * side
        table = F.pad(self.conv.weight.permute(1, 2, 3, 0).reshape(outside, dim), (0, 0, 0, 1))
        padded = F.pad(label_map.int() * side * side, (margin, margin, margin, margin), value=outside)
        patches = padded.unfold(1, side, step).unfold(2, side, step).flatten(3)  # B h w (side side)
        place = torch.arange(side * side, dtype=torch.int32, device=label_map.device)
        rows = torch.where(patches == outside, outside, patches + place).view(-1, side * side)
        summed = F.embedding_bag(rows, table, mode="sum").view(len(label_map), -1, dim)
        return summed if self.conv.bias is None else summed + self.conv.bias

    def relabelled(self, order: list[int]) -> None:
        """Let identity i (from 0) look as identity ``order[i]`` did."""
        taken = [0, *(identity + 1 for identity in order)]
        with torch.no_grad():
            self.conv.weight.copy_(self.conv.weight[:, taken].clone())
