"""The parts of QMRA: read, aggregation, decoder, refinement, encoders; their sizes and names (specification 3, 4, 7)."""

import pytest
import torch
from torch import nn

from tests.methods.qmra_cases import VARIANTS, clip, frames, qmra, strong
from vosbench.errors import ConfigError
from vosbench.methods.qmra.channel_aggregation import ChannelAggregation, PlainAggregation
from vosbench.methods.qmra.memory_read import read
from vosbench.methods.qmra.refinement import coordinate_maps

PAPER_AT_RANDOM = "trunk.pretrained=false"


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


TINY = {"f_q": 242_112, "f_m": 245_248, "kv_q": 9_312, "kv_m": 9_312, "bca1": 4_240, "bca2": 4_240}
TINY |= {"dec_b": 192_578, "dec_s": 192_578, "crm": 192_578 + 50_048}
PAPER = {"f_q": 8_543_296, "f_m": 8_546_432, "kv_q": 656_000, "kv_m": 656_000, "bca1": 132_160, "bca2": 132_160}
PAPER |= {"dec_b": 12_263_938, "dec_s": 12_263_938, "crm": 12_263_938 + 3_152_896}


@pytest.mark.parametrize(("size", "parts", "total"), [("tiny", TINY, 1_142_246), ("paper", PAPER, 58_610_758)])
def test_parts_have_the_specified_number_of_parameters(size, parts, total):
    with torch.device("meta"):
        method = qmra(PAPER_AT_RANDOM, size=size)
    assert {name: count(part) for name, part in method.named_children()} == parts
    assert count(method) == total
    assert size == "tiny" or count(method.dec_b.entry) == 4_588_544


@pytest.mark.parametrize(("name", "paper", "tiny"), [
    ("1stage", 30_797_826, 702_802),
    ("NoAlign", 58_610_758, 1_142_246),
    ("NoSiam", 67_813_190, 1_396_806),
    ("without QMA", 58_084_038, 1_127_558),
    ("without BCA", 58_346_438, 1_133_766),
    ("without CRM", 43_193_924, 899_620),
    ("CRM without CL", 57_559_110, 1_125_478),
    ("CRM from both", 58_610_758 + 2_098_176, 1_142_246 + 32_896),
    ("plain entry", 51_923_782, None),
])  # fmt: skip
def test_variants_have_the_specified_number_of_parameters(name, paper, tiny):
    with torch.device("meta"):
        totals = {size: count(qmra(PAPER_AT_RANDOM, *VARIANTS[name], size=size)) for size in ("paper", "tiny")}
    assert totals["paper"] == paper
    assert tiny is None or totals["tiny"] == tiny


def test_weights_have_the_names_of_the_specification():
    method = qmra("siamese=false")
    prefixes = {name.rsplit(".", 1)[0] for name in method.state_dict()}
    decoder = ["entry.l1", "entry.l2", "entry.r1", "entry.r2", "res.c1", "res.c2", "up8.skip", "up8.res_skip.c1"]
    decoder += ["up8.res_merge.c2", "up4.skip", "pred"]
    expected = {f"{part}.{name}" for part in ("dec_b", "dec_s", "crm.dec") for name in decoder}
    expected |= {f"{head}.{name}" for head in ("kv_q", "kv_m", "kv_r") for name in ("key", "value")}
    expected |= {"bca1.fc1", "bca1.fc2", "bca2.fc1", "bca2.fc2", "crm.merge_coord", "crm.merge_box", "crm.merge_mask"}
    expected |= {f"{trunk}.{name}" for trunk in ("f_q", "f_m", "f_r") for name in ("conv1", "layer1.0.conv1", "layer3.0.conv2")}
    assert expected <= prefixes


@pytest.mark.parametrize(("changes", "message"), [
    (["read=concat"], r"method\.read=concat with method\.bca=true"),
    (["stages=1", "crm=true"], r"method\.stages=1 with method\.crm=True"),
    (["stages=1", "siamese=false"], r"method\.stages=1 with method\.siamese=False"),
    (["stages=1", "prior=mask"], r"method\.stages=1 with method\.prior=mask"),
    (["stages=3"], r"method\.stages=3: expected one of 1, 2"),
    (["feed=box"], r"method\.feed=box: expected one of rect, soft, hard"),
    (["box_threshold=1.0"], r"method\.box_threshold=1\.0: must lie between"),
    (["memory.max_frames=1"], r"method\.memory\.max_frames=1"),
    (["memory.every=0"], r"method\.memory\.every=0"),
    (["objects_per_pass=0"], r"method\.objects_per_pass=0"),
])  # fmt: skip
def test_combinations_that_cannot_be_are_refused_by_name(changes, message):
    with pytest.raises(Exception, match=message) as caught:
        qmra(*changes)
    assert isinstance(caught.value.__cause__ or caught.value, ConfigError)


@pytest.fixture
def tokens() -> tuple[torch.Tensor, list[list[tuple[torch.Tensor, torch.Tensor]]]]:
    """Keys of two objects' queries on a 3 x 4 grid, and two and three frames that they remember."""
    generator = torch.Generator().manual_seed(4)
    memories = [
        [(3 * torch.randn(12, 5, generator=generator), torch.randn(12, 7, generator=generator)) for _ in range(length)]
        for length in (3, 2)
    ]
    return torch.randn(2, 5, 3, 4, generator=generator), memories


def test_every_query_location_averages_the_whole_memory(tokens):
    query, memories = tokens
    found = read(query, memories, (3, 4), scaled=True)
    key, value = (torch.cat(parts) for parts in zip(*memories[1], strict=True))
    # the weights of query location (1, 2), written out
    score = [sum(float(query[1, c, 1, 2] * key[m, c]) for c in range(5)) / 5**0.5 for m in range(24)]
    weight = torch.tensor(score).exp() / torch.tensor(score).exp().sum()
    torch.testing.assert_close(found[1, :, 1, 2], (weight[:, None] * value).sum(0), rtol=1e-5, atol=1e-5)


def test_weights_of_a_read_sum_to_one(tokens):
    query, memories = tokens
    ones = [[(key, torch.ones_like(value)) for key, value in memory] for memory in memories]
    torch.testing.assert_close(read(query, ones, (3, 4), scaled=True), torch.ones(2, 7, 3, 4))


def test_the_order_and_the_repetition_of_frames_change_no_read(tokens):
    query, memories = tokens
    straight = read(query, memories, (3, 4), scaled=True)
    for other in ([memory[::-1] for memory in memories], [memory * 2 for memory in memories]):
        torch.testing.assert_close(read(query, other, (3, 4), scaled=True), straight, rtol=0, atol=1e-5)


def test_objects_with_memories_of_other_lengths_read_as_they_would_alone(tokens):
    query, memories = tokens
    together = read(query, memories, (3, 4), scaled=True)
    alone = torch.cat([read(query[i : i + 1], memories[i : i + 1], (3, 4), scaled=True) for i in range(2)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)
    # and as with the shorter memory padded by locations that nobody can see
    key = torch.stack([torch.cat([key for key, _ in memory] + [torch.zeros(12, 5)] * (3 - len(memory))) for memory in memories])
    value = torch.stack([torch.cat([v for _, v in memory] + [torch.ones(12, 7)] * (3 - len(memory))) for memory in memories])
    score = query.flatten(2).transpose(1, 2) @ key.transpose(1, 2) / 5**0.5
    score[1, :, 24:] = -torch.inf
    torch.testing.assert_close(together.flatten(2).transpose(1, 2), score.softmax(2) @ value, rtol=0, atol=1e-5)


def test_an_unscaled_read_is_sharper(tokens):
    query, memories = tokens
    assert (read(query, memories, (3, 4), scaled=False) - read(query, memories, (3, 4), scaled=True)).abs().max() > 0.05


def test_without_a_match_the_memory_is_averaged_over_time(tokens):
    _, memories = tokens
    found = read(None, [[(None, value) for _, value in memory] for memory in memories], (3, 4), scaled=True)
    expected = torch.stack([value for _, value in memories[0]]).mean(0).T.unflatten(1, (3, 4))
    torch.testing.assert_close(found[0], expected)


def test_gates_lie_between_zero_and_one_and_equal_plain_aggregation_where_they_are_one():
    torch.manual_seed(0)
    bca, query, memory = ChannelAggregation(6, 4), torch.randn(2, 6, 3, 4), torch.randn(2, 6, 3, 4)
    gates = bca.gates(torch.cat([query, memory], 1))
    assert ((gates > 0) & (gates < 1)).all()
    nn.init.zeros_(bca.fc2.weight)
    nn.init.constant_(bca.fc2.bias, 50.0)
    assert torch.equal(bca(query, memory), PlainAggregation()(query, memory))


def test_the_query_half_of_an_aggregation_comes_first_and_sees_the_memory_through_its_gates_alone():
    torch.manual_seed(0)
    bca, query = ChannelAggregation(6, 4), torch.randn(1, 6, 3, 4)
    one, other = (bca(query, memory)[:, :6] for memory in (torch.randn(1, 6, 3, 4), 5 * torch.randn(1, 6, 3, 4)))
    ratio = (one / other).flatten(2)
    torch.testing.assert_close(ratio, ratio[:, :, :1].expand_as(ratio), rtol=1e-4, atol=0)
    assert (ratio[0, :, 0] - 1).abs().max() > 1e-3


def test_coordinates_run_from_minus_one_to_one():
    maps = coordinate_maps(3, 5)
    corners = [maps[:, row, column].tolist() for row in (0, -1) for column in (0, -1)]
    assert corners == [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    assert maps[0, 1].abs().max() == 0
    assert coordinate_maps(1, 1).abs().max() == 0


def test_a_zero_box_map_leaves_the_stem_what_it_is_for_images():
    method, image = qmra(), frames(1)
    assert torch.equal(method.f_m.conv1.weight[:, :3], method.f_q.conv1.weight)
    torch.testing.assert_close(method.f_m.conv1(torch.cat([image, torch.zeros(1, 1, 48, 64)], 1)), method.f_q.conv1(image))
    assert 0.08 < float(method.f_m.conv1.weight[:, 3:].detach().std()) < 0.12


def test_a_fresh_network_matches_a_frame_with_itself_in_stage_one_too():
    method, image = qmra(), frames(1)
    with torch.no_grad():
        sought, _ = method.kv_q(method.f_q(image)[2])
        torch.testing.assert_close(sought, method.with_maps(image, torch.zeros(1, 1, 48, 64)).key)
    assert method.kv_q.key.weight.data_ptr() != method.kv_m.key.weight.data_ptr()
    apart = qmra("siamese=false")
    assert torch.equal(apart.kv_r.key.weight, apart.kv_m.key.weight)


def test_a_frame_matches_itself_symmetrically_in_stage_two_and_not_in_stage_one():
    # given a frame that is remembered with the very map with which it is looked at
    method, image = strong(), qmra().encode(frames(1)).image
    maps = torch.zeros(1, 1, 48, 64)
    maps[..., 4:24, 6:30] = 1
    with torch.no_grad():
        encoded = method.with_maps(image, maps)
        memory, _ = encoded.remembered()[0]
        second = method.with_maps(image, maps, as_query=True).key.flatten(2)[0].T @ memory.T
        first = method.kv_q(method.f_q(image)[2])[0].flatten(2)[0].T @ memory.T
    assert torch.equal(second, second.T)
    assert (first - first.T).abs().max() > 1e-3


def test_batch_norms_keep_their_statistics_while_their_gains_learn():
    options = "trunk.options={norm_layer: batchnorm2d, layers: [1, 1, 1], channels: [32, 64, 96], zero_init_last: false}"
    method, sample = qmra(options).train(), clip()
    statistics = {name: value.clone() for name, value in method.named_buffers() if "running" in name}
    gains = {name: value.detach().clone() for name, value in method.f_m.named_parameters() if ".bn1.weight" in name}
    optimizer = torch.optim.SGD(method.parameters(), lr=0.1)
    method(sample, 2)[-1].logits.square().mean().backward()
    optimizer.step()
    now = dict(method.named_buffers())
    assert len(statistics) > 20
    assert len(gains) == 3
    assert all(torch.equal(value, now[name]) for name, value in statistics.items())
    assert all(not torch.equal(value, dict(method.f_m.named_parameters())[name]) for name, value in gains.items())
    assert method.dec_s.training
