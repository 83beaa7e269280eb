"""Fast convolutions are the same convolutions."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vosbench.layers.winograd import Conv3x3, convolved, use_winograd


@pytest.fixture
def counted(monkeypatch) -> list[torch.Size]:
    """Inputs that reach NNPACK."""
    seen, honest = [], torch._nnpack_spatial_convolution

    def spy(x, *rest):
        seen.append(x.shape)
        return honest(x, *rest)

    monkeypatch.setattr(torch, "_nnpack_spatial_convolution", spy)
    return seen


@pytest.mark.parametrize("size", [(36, 36), (33, 47)])
def test_large_maps_on_a_processor_give_the_direct_numbers(counted, size):
    x, conv = torch.randn(2, 64, *size, generator=torch.Generator().manual_seed(0)), Conv3x3(64, 96)
    with torch.inference_mode():
        fast, direct = conv(x), F.conv2d(x.double(), conv.weight.double(), conv.bias.double(), padding=1)
    assert counted == [torch.Size([1, 64, *size])] * (2 if torch.backends.nnpack.is_available() else 0)
    torch.testing.assert_close(fast.double(), direct, rtol=0, atol=1e-4)


@pytest.mark.parametrize("channels", [16, 64])
@pytest.mark.parametrize("side", [8, 36])
def test_small_maps_few_channels_and_training_go_the_direct_way(counted, channels, side):
    x, conv = torch.randn(1, channels, side, side), Conv3x3(channels, channels)
    with torch.set_grad_enabled((channels, side) == (64, 36)):
        assert torch.equal(conv(x), F.conv2d(x, conv.weight, conv.bias, padding=1))
    assert counted == []


def test_mixed_precision_keeps_its_type():
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert Conv3x3(64, 64)(torch.randn(1, 64, 32, 32)).dtype == torch.bfloat16


def test_a_network_of_others_keeps_its_weights_under_their_names():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, stride=2, padding=1), nn.Conv2d(4, 4, 1))
    before, x = network.state_dict(), torch.randn(1, 3, 8, 8)
    expected = network(x)
    use_winograd(network)
    assert [type(module) for module in network] == [Conv3x3, nn.Conv2d, nn.Conv2d]
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert torch.equal(network(x), expected)


def test_no_image_gives_no_map():
    assert convolved(torch.zeros(0, 64, 32, 32), torch.zeros(64, 64, 3, 3), None).shape == (0, 64, 32, 32)
