"""Trained weights that are not there, and more input channels."""

import pytest
import torch
from torch import nn

from vosbench.errors import ConfigError
from vosbench.layers.timm_backbone import timm_network, with_extra_inputs


def test_missing_weights_name_the_key_the_network_and_the_remedy(monkeypatch):
    monkeypatch.setattr("vosbench.layers.timm_backbone.try_to_load_from_cache", lambda *_: None)
    with pytest.raises(ConfigError, match=r"method\.value\.pretrained.*resnet18\.tv_in1k.*fetch them once.*=null"):
        timm_network("resnet18.tv_in1k", pretrained=True, key="method.value.pretrained")


def test_cached_weights_are_read_from_the_file(monkeypatch, tmp_path):
    # given weights in a file, as timm's cache would hold them
    source = timm_network("test_resnet", pretrained=False, key="x")
    torch.save(source.state_dict(), tmp_path / "pytorch_model.bin")
    monkeypatch.setattr(
        "vosbench.layers.timm_backbone.try_to_load_from_cache", lambda _, name: str(tmp_path / name) if name[0] == "p" else None
    )
    # when
    network = timm_network("test_resnet", pretrained=True, key="x")
    # then
    torch.testing.assert_close(network.state_dict(), source.state_dict())


def test_extra_inputs_leave_the_first_channels_as_they_were():
    network = nn.Sequential()
    network.add_module("conv1", nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False))
    image, before = torch.randn(1, 3, 8, 8), network.conv1.weight.clone()
    expected = network(image)
    network = with_extra_inputs(network, 2)
    torch.testing.assert_close(network(torch.cat([image, torch.zeros(1, 2, 8, 8)], 1)), expected)
    torch.testing.assert_close(network.conv1.weight[:, :3], before)
    added = network.conv1.weight[:, 3:].flatten(1)
    torch.testing.assert_close(added @ added.T, torch.eye(8), rtol=0, atol=1e-5)
