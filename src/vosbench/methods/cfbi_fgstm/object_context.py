"""Object context: every position gathers from those of the same category (paper, section 2.2; specification 3.3)."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosbench.methods.cfbi_fgstm.blocks import ConvNorm
from vosbench.methods.cfbi_fgstm.plain_conv import conv, zero_conv


class ObjectContext(nn.Module):
    """Self-attention whose key is its query: ``ctx_i = sum_j softmax_j(k_i . k_j / sqrt(A / 2)) v_j``, ``a + W ctx``.

    Source: OCNet, whose key is shared and whose W starts at zero. Decision: OCNet concatenates context and input and mixes
    them; adding leaves a network that was trained without context as it is.
    """

    def __init__(self, channels: int) -> None:
        """`channels`: width A of the map at stride 16."""
        super().__init__()
        width = channels // 2
        self.key = ConvNorm(1, channels, width)
        self.value = conv(1, channels, width)
        self.mix = zero_conv(1, width, channels)

    def forward(self, a: Float[Tensor, "B A h w"]) -> Float[Tensor, "B A h w"]:
        # One head; positions are rows. The kernel works off the positions in blocks, with its softmax in float32.
        key = F.relu(self.key(a)).flatten(2).transpose(1, 2)[:, None]  # B 1 L A/2
        value = self.value(a).flatten(2).transpose(1, 2)[:, None]
        context = F.scaled_dot_product_attention(key, key, value)
        return a + self.mix(context[:, 0].transpose(1, 2).unflatten(2, (a.shape[2], a.shape[3])))
