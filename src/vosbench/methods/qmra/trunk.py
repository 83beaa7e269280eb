"""Encoders f_q (image) and f_m (image and box map): one residual trunk, cut at stride 16, with weights of their own
(paper, Figure 2; specification 3.1)."""

import copy
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from vosbench.layers.timm_backbone import timm_network, with_extra_inputs
from vosbench.layers.winograd import use_winograd
from vosbench.methods.qmra.options import TrunkOptions

MAP_DEVIATION = 0.1  # of the box map's weights in the first convolution: He-normal for its fan-in of 4 x 7 x 7


def image_trunk(options: TrunkOptions) -> Any:
    """f_q: normalised image -> maps at strides 4, 8, 16; timm's own parameter names."""
    network = timm_network(
        options.name,
        pretrained=options.pretrained,
        key="method.trunk.pretrained",
        features_only=True,
        out_indices=(1, 2, 3),
        **options.options,
    )
    use_winograd(network)
    return network


def map_trunk(image_trunk: nn.Module) -> nn.Module:
    """f_m: the same network for image and box map, starting from the same weights.

    The map's own weights are small, so that a zero map leaves the trunk what it was and a box shows from the first step on.
    """
    network = with_extra_inputs(copy.deepcopy(image_trunk), 1)
    first = network.get_submodule("conv1")
    assert isinstance(first, nn.Conv2d)
    nn.init.normal_(first.weight.detach()[:, 3:], std=MAP_DEVIATION)
    return network


def keep_statistics(network: nn.Module) -> None:
    """Batch norms stay in eval mode: groups of three frames are no statistics. Their gains and biases are trained.

    Decision: as in STM and its successors; the paper is silent.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
