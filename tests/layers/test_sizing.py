"""Frames into the network and probabilities back."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vosbench.layers.sizing import MEAN_COLOUR, FullSizing, PaddedSizing


def test_padding_is_split_with_the_odd_pixel_last_and_holds_the_mean_colour():
    sizing = PaddedSizing.of(30, 47, 16)
    image = sizing.image(torch.zeros(30, 47, 3, dtype=torch.uint8))
    assert sizing.network == (32, 48)
    assert image.shape == (1, 3, 32, 48)
    assert image[0, :, 0, 0].tolist() == pytest.approx(MEAN_COLOUR)
    assert image[0, :, 1, 0].tolist() == pytest.approx([0, 0, 0])  # no column on the left: 47 -> 48 puts its pixel right
    assert image[0, :, 1, 47].tolist() == pytest.approx(MEAN_COLOUR)


def test_a_multiple_of_the_stride_is_left_alone():
    image = torch.rand(32, 48, 3)
    assert torch.equal(PaddedSizing.of(32, 48, 16).image(image)[0], image.permute(2, 0, 1))


@given(height=st.integers(5, 70), width=st.integers(5, 70))
def test_what_goes_in_unresized_comes_back_unchanged(height, width):
    sizing = PaddedSizing.of(height, width, 16)
    planes = torch.rand(2, height, width)
    assert torch.equal(sizing.restore(sizing.planes(planes)), planes)


def test_the_long_edge_bounds_the_inner_size_and_the_answer_keeps_the_frames():
    sizing = PaddedSizing.of(100, 200, 16, long_edge=100)
    assert sizing.inner == (50, 100)
    assert sizing.restore(torch.rand(3, *sizing.network)).shape == (3, 100, 200)
    assert PaddedSizing.of(100, 200, 16, long_edge=400).inner == (100, 200)


def test_an_object_too_small_for_the_nearest_grid_keeps_a_pixel():
    planes = torch.zeros(1, 64, 64)
    planes[0, 33, 31] = 1
    small = PaddedSizing.of(64, 64, 16, long_edge=16).planes(planes)
    assert np.argwhere(small[0].numpy()).tolist() == [[8, 7]]


@pytest.mark.parametrize(
    ("frame", "odd", "network"),
    [((480, 854), 1, (481, 849)), ((720, 1280), 1, (577, 1041)), ((129, 161), 1, (129, 161)), ((480, 854), 0, (480, 848))],
)
def test_full_sizes_are_legal_and_masks_keep_the_frames(frame, odd, network):
    # The first two are those that the public code of AOT and CFBI gives for DAVIS and for 720p.
    sizing = FullSizing.of(*frame, 16, odd, long_edge=1040)
    assert sizing.network == network
    assert sizing.masks == frame
    assert sizing.image(torch.zeros(*frame, 3, dtype=torch.uint8)).shape[-2:] == network
