"""The convolution to one plane is an ordinary convolution."""

import torch
from torch.nn import functional as F

from vosbench.layers.one_plane import conv_to_one_plane


def test_one_kernel_for_all_maps_is_an_ordinary_convolution():
    x, weight, bias = torch.randn(3, 4, 5, 7), torch.randn(1, 4, 3, 3), torch.randn(1)
    torch.testing.assert_close(conv_to_one_plane(x, weight, bias), F.conv2d(x, weight, bias, padding=1))


def test_a_kernel_for_each_map_is_one_convolution_each():
    x, weight, bias = torch.randn(3, 4, 5, 7), torch.randn(3, 4, 3, 3), torch.randn(3)
    expected = [F.conv2d(x[i : i + 1], weight[i : i + 1], bias[i : i + 1], padding=1) for i in range(3)]
    torch.testing.assert_close(conv_to_one_plane(x, weight, bias), torch.cat(expected))


def test_gradients_are_those_of_the_ordinary_convolution():
    tensors = [torch.randn(2, 4, 5, 6), torch.randn(1, 4, 3, 3), torch.randn(1)]
    ours, theirs = ([tensor.clone().requires_grad_() for tensor in tensors] for _ in range(2))
    conv_to_one_plane(*ours).square().sum().backward()
    F.conv2d(*theirs, padding=1).square().sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-4)


def test_under_autocast_the_plane_is_in_float32():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plane = conv_to_one_plane(torch.randn(1, 4, 5, 6), torch.randn(1, 4, 3, 3), torch.randn(1))
    assert plane.dtype == torch.float32
