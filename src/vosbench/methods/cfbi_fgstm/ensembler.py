"""The collaborative ensembler: from matching maps, embeddings and instance vectors to logits (specification 3.11)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.methods.cfbi_fgstm.blocks import GCT, ConvNorm, InstanceGate, quarter_norm, scaled
from vosbench.methods.cfbi_fgstm.entries import Entries
from vosbench.methods.cfbi_fgstm.gated_blocks import Bottleneck, GatedASPP
from vosbench.methods.cfbi_fgstm.options import HeadOptions
from vosbench.methods.cfbi_fgstm.resizing import conv3x3_of_enlarged
from vosbench.methods.cfbi_fgstm.stacked import ClipMap, Own, Stacked

NEVER = -1e4  # logit of a channel that holds no object; finite in every precision


class Ensembler(nn.Module):
    """Three stages of gated bottlenecks at strides 4, 8 and 16, an atrous pyramid and a decoder back at stride 4.

    `inputs` are the channels of what enters at each stride: three of them, or one (CFBI without neck). `attention` is the
    feature pyramid attention on the coarsest map, or None.
    """

    def __init__(
        self, *, vector: int, inputs: list[int], low_level: int, options: HeadOptions, attention: nn.Module | None
    ) -> None:
        super().__init__()
        dim = options.dim
        in8, in16 = inputs[1:] if len(inputs) > 1 else (0, 0)
        self.fine = nn.ModuleList([Bottleneck(vector, inputs[0], dim), Bottleneck(vector, dim, dim, dilation=2)])
        self.middle = nn.ModuleList(
            [
                Bottleneck(vector, dim, 2 * dim, stride=2),
                Bottleneck(vector, 2 * dim + in8, 2 * dim, dilation=2),
                Bottleneck(vector, 2 * dim, 2 * dim, dilation=4),
            ]
        )
        self.coarse = nn.ModuleList(
            [
                Bottleneck(vector, 2 * dim, 2 * dim, stride=2),
                Bottleneck(vector, 2 * dim + in16, 2 * dim, dilation=2),
                Bottleneck(vector, 2 * dim, 2 * dim, dilation=4),
            ]
        )
        self.attention = attention
        self.aspp = GatedASPP(vector, 2 * dim, dim, options.dilations)
        self.decoder = Decoder(vector, low_level, dim, options.refine_dim)

    def forward(
        self,
        inputs: list[Stacked],
        low_level: ClipMap,
        entries: Entries,
        vector: Float[Tensor, "P V"],
        addition: Float[Tensor, "P C h16 w16"] | None,
    ) -> tuple[Float[Tensor, "P h w"], Float[Tensor, "P h w"]]:
        """Scores of every entry of a pass for being this entry, and what it adds to the background's, at stride 4.

        `addition` is what the memory adds after the first block at stride 16.
        """
        fine = self.fine[1](self.fine[0](inputs[0], vector), vector)
        x = self._stage(self.middle, fine, inputs[1:2], vector, None)
        x = self._stage(self.coarse, x, inputs[2:3], vector, addition)
        if self.attention is not None:
            x = self.attention(x)
        x = self.aspp(x, vector)
        return self.decoder(x, Stacked(low_level.of(entries), Own(fine)), vector)

    def _stage(
        self,
        blocks: nn.ModuleList,
        x: Float[Tensor, "P C h w"],
        beside: list[Stacked],
        vector: Float[Tensor, "P V"],
        addition: Float[Tensor, "P C2 h2 w2"] | None,
    ) -> Float[Tensor, "P C2 h2 w2"]:
        """Halve the size, take in what enters at this stride, and look around."""
        x = blocks[0](x, vector)
        if addition is not None:
            x = x + addition.to(x.dtype)
        joined = Stacked(Own(x), *beside[0].parts) if beside else x
        return blocks[2](blocks[1](joined, vector), vector)


class Decoder(nn.Module):
    """Back to stride 4, with the fine stage and the backbone's fine map beside; then a 1x1 convolution whose weights are the
    entry's own."""

    def __init__(self, vector: int, low_level: int, dim: int, refine_dim: int) -> None:
        super().__init__()
        self.skip_gct = GCT(low_level + dim)
        self.skip = ConvNorm(1, low_level + dim, refine_dim, norm=quarter_norm)
        self.gate1, self.first = InstanceGate(vector, dim + refine_dim), ConvNorm(3, dim + refine_dim, dim // 2)
        self.gate2, self.second = InstanceGate(vector, dim // 2), ConvNorm(3, dim // 2, dim // 2)
        self.own_filter = nn.Linear(vector, dim // 2 + 1)
        self.background_filter = nn.Linear(vector, dim // 2 + 1)

    def forward(
        self, x: Float[Tensor, "P E h16 w16"], skip: Stacked, vector: Float[Tensor, "P V"]
    ) -> tuple[Float[Tensor, "P h w"], Float[Tensor, "P h w"]]:
        fine = skip.mixed(self.skip.conv.weight.flatten(1), self.skip_gct(skip.energy()))
        fine = F.relu(self.skip.norm(fine), inplace=True)
        gate = self.gate1(vector)
        coarse_gate, fine_gate = gate.split([x.shape[1], fine.shape[1]], 1)
        # A factor per channel and an enlargement may change places.
        y = conv3x3_of_enlarged(scaled(x, coarse_gate), scaled(fine, fine_gate), self.first.conv.weight, "bicubic")
        y = F.relu(self.first.norm(y), inplace=True)
        y = F.relu(self.second(scaled(y, self.gate2(vector))), inplace=True)
        filters = torch.stack([self.own_filter(vector), self.background_filter(vector)], 2)
        weight, bias = filters[:, :-1], filters[:, -1:]
        scores = torch.baddbmm(bias.transpose(1, 2).to(y.dtype), weight.transpose(1, 2).to(y.dtype), y.flatten(2))
        own, background = scores.unflatten(2, y.shape[2:]).unbind(1)
        return own, background


def joined_logits(
    own: Float[Tensor, "P h w"], background: Float[Tensor, "P h w"], entries: Entries, batch: int, count: int
) -> Float[Tensor, "B K h w"]:
    """Logits over the K entries: each its own score, the background's raised by the least that an object adds to it. `NEVER`
    for channels that hold no object; a clip without any object is all background."""
    logits = entries.spread(own.float(), batch, count, NEVER)
    least = entries.spread(background.float(), batch, count, torch.inf)[:, 1:].amin(1)
    nobody = torch.zeros_like(least)
    first = torch.where(least.isinf(), nobody, logits[:, 0] + least)
    return torch.cat([first[:, None], logits[:, 1:]], 1)
