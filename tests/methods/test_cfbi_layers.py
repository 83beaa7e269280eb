"""Layers of the CFBI family that take a short cut, against the long way round."""

import pytest
import torch
from torch.nn import functional as F

from vosbench.methods.cfbi_fgstm.blocks import GCT, energy_of, group_count
from vosbench.methods.cfbi_fgstm.ensembler import NEVER, joined_logits
from vosbench.methods.cfbi_fgstm.entries import Entries
from vosbench.methods.cfbi_fgstm.gated_blocks import Bottleneck
from vosbench.methods.cfbi_fgstm.pooling import label_sums, mean_inside_and_outside
from vosbench.methods.cfbi_fgstm.resizing import conv3x3_of_enlarged, labels_on
from vosbench.methods.cfbi_fgstm.stacked import ClipMap, FramePair, Own, Stacked

COUNT = 3
ENTRIES = Entries([0, 0, 1, 1, 1], [0, 2, 0, 1, 2])  # the first clip's object 1 is not there


@pytest.fixture
def parts():
    """What is side by side, and the same put together: per entry P channels h w."""
    generator = torch.Generator().manual_seed(0)
    own = torch.randn(5, 4, 6, 7, generator=generator)
    current, previous, fine = torch.randn(3, 2, 5, 6, 7, generator=generator).unbind()
    label_map = torch.tensor([0, 1, 2, 255])[torch.randint(0, 4, (2, 6, 7), generator=generator)]
    label_map[1, :5] = 2  # more than half
    pair = FramePair(current, previous, label_map, COUNT)
    stacked = Stacked(Own(own), pair.of(ENTRIES), ClipMap(fine).of(ENTRIES))
    clips, numbers = torch.tensor(ENTRIES.clips), torch.tensor(ENTRIES.numbers)
    inside = (label_map[clips] == numbers[:, None, None]).float()[:, None]
    together = torch.cat([own, current[clips], previous[clips] * inside, previous[clips] * (1 - inside), fine[clips]], 1)
    return stacked, together


def test_energies_of_maps_side_by_side_are_those_of_the_maps_put_together(parts):
    stacked, together = parts
    torch.testing.assert_close(stacked.energy(), energy_of(together))


def test_maps_side_by_side_are_mixed_like_maps_put_together(parts):
    stacked, together = parts
    weight, factor = torch.randn(8, 24), torch.rand(5, 24)
    expected = F.conv2d(together * factor[:, :, None, None], weight[:, :, None, None])
    torch.testing.assert_close(stacked.mixed(weight, factor), expected, rtol=1e-4, atol=1e-4)


def test_a_block_over_maps_side_by_side_is_the_block_over_the_maps_put_together(parts):
    stacked, together = parts
    torch.manual_seed(1)
    block, vector = Bottleneck(6, 24, 16, dilation=2), torch.randn(5, 6)
    torch.nn.init.normal_(block.gct.gamma)
    # the definition: gate, GCT, three convolutions, shortcut from the gated input
    gated = together * block.gate(vector)[:, :, None, None]
    y = F.relu(block.reduce(gated * block.gct(energy_of(gated))[:, :, None, None]))
    expected = F.relu(block.expand(F.relu(block.spatial(y))) + block.shortcut(gated))
    torch.testing.assert_close(block(stacked, vector), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(block(together, vector), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("out", "stride", "size"), [(12, 1, (7, 9)), (12, 2, (4, 5)), (16, 2, (4, 5))])
def test_a_block_halves_the_size_or_keeps_its_input_as_the_shortcut(out, stride, size):
    torch.manual_seed(1)
    block, x, vector = Bottleneck(6, 12, out, stride=stride), torch.randn(2, 12, 7, 9), torch.randn(2, 6)
    gated = x * block.gate(vector)[:, :, None, None]
    shortcut = gated if block.shortcut is None else block.shortcut(gated[:, :, ::stride, ::stride])
    y = F.relu(block.spatial(F.relu(block.reduce(gated))))  # GCT is the identity at first
    assert block(x, vector).shape[-2:] == size
    torch.testing.assert_close(block(x, vector), F.relu(block.expand(y) + shortcut), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("small", "large"), [((3, 4), (9, 13)), ((1, 2), (3, 5)), ((5, 5), (5, 5))])
def test_the_convolution_of_an_enlarged_map_is_the_convolution_of_the_enlarged_map(mode, small, large):
    coarse, fine, weight = torch.randn(2, 6, *small), torch.randn(2, 3, *large), torch.randn(4, 9, 3, 3)
    enlarged = F.interpolate(coarse, size=large, mode=mode, align_corners=True)
    expected = F.conv2d(torch.cat([enlarged, fine], 1), weight, padding=1)
    torch.testing.assert_close(conv3x3_of_enlarged(coarse, fine, weight, mode), expected, rtol=1e-4, atol=1e-4)


def test_gct_is_the_published_formula_and_the_identity_at_first():
    x, gct = torch.randn(2, 5, 4, 4), GCT(5)
    assert torch.equal(gct(energy_of(x)), torch.ones(2, 5))
    for parameter in gct.parameters():
        torch.nn.init.normal_(parameter)
    own = (x.square().sum((2, 3), keepdim=True) + 1e-5).sqrt() * gct.alpha
    norm = gct.gamma / (own.square().mean(1, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(gct(energy_of(x)), (1 + torch.tanh(own * norm + gct.beta))[:, :, 0, 0])


def test_pooled_means_cover_each_entry_and_everything_else():
    maps = torch.rand(1, 4, 5, 5)
    label_map = torch.zeros(1, 5, 5, dtype=torch.long)
    label_map[0, :2], label_map[0, 4] = 2, 255
    vector = mean_inside_and_outside(*label_sums(maps, label_map, COUNT))[0]
    torch.testing.assert_close(vector[2, :4], maps[0, :, :2].mean((1, 2)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(vector[2, 4:], maps[0, :, 2:].mean((1, 2)), rtol=1e-4, atol=1e-5)
    assert not vector[1, :4].any()
    torch.testing.assert_close(vector[1, 4:], maps[0].mean((1, 2)), rtol=1e-4, atol=1e-5)


def test_outside_an_entry_that_covers_everything_is_exactly_nothing():
    maps = 100 * torch.rand(1, 4, 30, 30)
    vector = mean_inside_and_outside(*label_sums(maps, torch.ones(1, 30, 30, dtype=torch.long), COUNT))
    assert not vector[0, 1, 4:].any()


def test_sums_over_reference_frames_are_added_before_dividing():
    maps, labels = torch.rand(2, 4, 5, 5), torch.randint(0, COUNT, (2, 5, 5))
    sums, numbers = label_sums(maps, labels, COUNT)
    both = mean_inside_and_outside(sums.sum(0, keepdim=True), numbers.sum(0, keepdim=True))
    joined = label_sums(maps.transpose(0, 1).flatten(1, 2)[None], labels.flatten(0, 1)[None], COUNT)
    torch.testing.assert_close(both, mean_inside_and_outside(*joined))


def test_labels_are_sampled_where_the_plain_nearest_rule_samples_them():
    label_map = torch.arange(161)[None, None].expand(1, 129, 161)
    expected = [int(i * (161 / 41)) for i in range(41)]
    assert labels_on(label_map, (33, 41))[0, 0].tolist() == expected


def test_group_counts_are_the_published_ones():
    counts = {64: 32, 128: 32, 256: 32, 512: 32, 100: 25, 12: 6, 24: 12, 48: 24}
    assert {channels: group_count(channels) for channels in counts} == counts


def test_the_background_takes_the_least_that_an_object_adds_to_it_and_absent_channels_never_win():
    own, background = torch.tensor([[1.0, 2, 3, 4, 5], [10, 20, 30, 40, 50]])[:, :, None, None]
    logits = joined_logits(own, background, ENTRIES, 3, COUNT)[:, :, 0, 0]
    assert logits.tolist() == [[21, NEVER, 2], [43, 4, 5], [0, NEVER, NEVER]]
