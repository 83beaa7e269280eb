"""Matching of the CFBI family against plain loops, and what its maps must be (specification 3.6 to 3.8, 9)."""

import pytest
import torch
from torch import Tensor

from vosbench.methods.cfbi_fgstm.entries import Entries
from vosbench.methods.cfbi_fgstm.global_matching import FAR, SCORES, Labelled, nearest_distances, on_grid
from vosbench.methods.cfbi_fgstm.local_matching import Windows, all_at_once, local_distances, row_by_row
from vosbench.methods.cfbi_fgstm.matching import Matching, of_nearest_other
from vosbench.methods.cfbi_fgstm.options import MatchingOptions

COUNT = 3  # entries


def options(**changes: object) -> MatchingOptions:
    values = {"channels": [4, 4, 4], "windows": [[2, 4]] * 3, "single_windows": [1, 2], "atrous": [2, 1, 1]}
    return MatchingOptions(**{**values, "min_pixels": 0, "background": True, "parallel_mib": 1, **changes})


def matching(*, windows: list[int], rate: int = 1, **changes: object) -> Matching:
    return Matching(channels=4, windows=windows, rate=rate, halved=False, options=options(**changes))


def maps(batch: int, height: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Query, previous or reference embedding, labels: 0..2, and 255 here and there."""
    generator = torch.Generator().manual_seed(seed)
    query, other = torch.rand(2, batch, 4, height, width, generator=generator).unbind()
    label_map = torch.randint(0, COUNT + 1, (batch, height, width), generator=generator)
    return query, other, torch.where(label_map == COUNT, 255, label_map)


def looped_local(query: Tensor, previous: Tensor, label_map: Tensor, windows: Windows) -> Tensor:
    """The definition, pixel by pixel."""
    batch, _, height, width = query.shape
    found = torch.full((batch, COUNT, len(windows.sizes), height, width), FAR)
    reach = windows.steps[-1] * windows.rate
    offsets = range(-reach, reach + 1, windows.rate)
    for b in range(batch):
        for y in range(height):
            for x in range(width):
                for dy in offsets:
                    for dx in offsets:
                        n = int(label_map[b, y + dy, x + dx]) if 0 <= y + dy < height and 0 <= x + dx < width else 255
                        if n == 255:
                            continue
                        distance = (query[b, :, y, x] - previous[b, :, y + dy, x + dx]).square().sum()
                        for place, size in enumerate(windows.sizes):
                            if max(abs(dy), abs(dx)) <= size:
                                found[b, n, place, y, x] = torch.minimum(found[b, n, place, y, x], distance)
    return found


AT_ONCE, ROW_BY_ROW = 2**40, 0  # bytes that comparing all offsets at once may take


@pytest.mark.parametrize("allowed", [AT_ONCE, ROW_BY_ROW])
@pytest.mark.parametrize(
    "windows", [Windows([0, 2, 4], 2), Windows([1, 3], 1), Windows([1, 5], 2), Windows([2, 3], 2), Windows([9], 3)]
)
def test_local_matching_equals_the_loop_over_pixels(allowed, windows):
    query, previous, label_map = maps(2, 6, 7)
    distances = local_distances(query, previous, label_map, count=COUNT, windows=windows, parallel_bytes=allowed)
    torch.testing.assert_close(distances, looped_local(query, previous, label_map, windows), rtol=0, atol=1e-5)


def test_both_forms_of_local_matching_have_the_same_gradient():
    query, previous, label_map = maps(2, 9, 8)
    weight = torch.rand(2, COUNT, 2, 9, 8)
    gradients = []
    for allowed in (AT_ONCE, ROW_BY_ROW):
        leaves = [query.clone().requires_grad_(), previous.clone().requires_grad_()]
        distances = local_distances(*leaves, label_map, count=COUNT, windows=Windows([2, 4], 2), parallel_bytes=allowed)
        (torch.tanh(distances / 2) * weight).sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    for one, other in zip(*gradients, strict=True):
        assert float(one.abs().sum()) > 1
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_the_form_of_local_matching_follows_the_memory_it_would_take(monkeypatch):
    called = []

    def stand_in(name: str):
        return lambda *_: called.append(name) or torch.zeros(1, COUNT, 1, 9, 8)

    for name in ("all_at_once", "row_by_row"):
        monkeypatch.setattr(f"vosbench.methods.cfbi_fgstm.local_matching.{name}", stand_in(name))
    query, previous, label_map = maps(1, 9, 8)
    needed = 4 * 4 * 9 * 8 * 25
    for allowed in (needed, needed - 1):
        local_distances(query, previous, label_map, count=COUNT, windows=Windows([2], 1), parallel_bytes=allowed)
    assert called == ["all_at_once", "row_by_row"]


def test_a_larger_window_never_raises_a_map_and_window_zero_finds_the_pixel_itself():
    query, _, label_map = maps(1, 7, 9)
    distances = row_by_row(query, query, label_map, COUNT, [0, 1, 3])
    assert (distances[:, :, 1:] <= distances[:, :, :-1]).all()
    own = label_map[0] != 255
    at_home = distances[0, label_map[0].clamp(max=2), 0, torch.arange(7)[:, None], torch.arange(9)]
    assert float(at_home[own].abs().max()) < 1e-5
    others = distances[0, (label_map[0] + 1) % COUNT, 0, torch.arange(7)[:, None], torch.arange(9)]
    assert (others[own] == FAR).all()


def looped_global(query: Tensor, references: list[tuple[Tensor, Tensor]]) -> Tensor:
    _, height, width = query.shape
    found = [torch.full((height, width), FAR)] * COUNT
    for embedding, label_map in references:
        for n in range(COUNT):
            for vector in embedding.flatten(1)[:, label_map.flatten() == n].T:
                found[n] = torch.minimum(found[n], (query - vector[:, None, None]).square().sum(0))
    return torch.stack(found)


def test_global_matching_equals_the_loop_over_reference_pixels(monkeypatch):
    monkeypatch.setitem(SCORES, "cpu", 100)  # several chunks
    query, reference, label_map = maps(2, 6, 7)
    pairs = [(reference[0], label_map[0]), (reference[1], label_map[1].clamp(min=2))]  # no background in the second
    kept = [Labelled.of(embedding, labels, COUNT) for embedding, labels in pairs]
    torch.testing.assert_close(nearest_distances(query[0], kept, COUNT), looped_global(query[0], pairs), rtol=0, atol=1e-5)


def test_global_matching_in_training_gives_the_same_distances_and_their_gradient():
    query, reference, label_map = maps(1, 6, 7)
    plain = nearest_distances(query[0], [Labelled.of(reference[0], label_map[0], COUNT)], COUNT)
    leaves = [query[0].clone().requires_grad_(), reference[0].clone().requires_grad_()]
    learnt = nearest_distances(leaves[0], [Labelled.of(leaves[1], label_map[0], COUNT)], COUNT)
    learnt.sum().backward()
    looped = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    looped_global(looped[0], [(looped[1], label_map[0])]).sum().backward()
    torch.testing.assert_close(learnt.detach(), plain, rtol=0, atol=1e-5)
    for one, other in zip(leaves, looped, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=1e-4)


def global_map(method: Matching, query: Tensor, references: list[tuple[Tensor, Tensor]], count: int = COUNT) -> Tensor:
    """G of every entry, through the maps of the ensembler's input."""
    kept = [[method.reference(embedding, labels, count)[0][0] for embedding, labels in references]]
    entries = Entries([0] * count, list(range(count)))
    previous = (query, torch.zeros(1, *query.shape[2:], dtype=torch.long))
    return method.maps(query, kept, *previous, torch.zeros(count), entries)[:, 0]


def test_an_identical_reference_gives_zero_on_each_pixels_own_entry_and_an_absent_entry_one():
    query, _, label_map = maps(1, 9, 9)
    label_map = torch.where(label_map == 1, 0, label_map).clamp(max=2)
    found = global_map(matching(windows=[2]), query, [(query, label_map)])
    at_home = found.gather(0, label_map)
    assert float(at_home.abs().max()) < 1e-3
    assert (found[1] == 1).all()
    assert ((found > -1e-3) & (found <= 1)).all()


def test_one_more_reference_frame_never_raises_a_map():
    query, first, label_map = maps(1, 9, 9)
    _, second, later = maps(1, 9, 9, seed=3)
    method = matching(windows=[2], rate=2)
    alone = global_map(method, query, [(first, label_map)])
    both = global_map(method, query, [(first, label_map), (second, later)])
    assert (both <= alone).all()
    assert (both < alone).any()


def test_the_others_map_is_the_lowest_of_the_others_and_ones_own_if_there_are_none():
    found = torch.rand(1, 4, 2, 3, 3)
    others = of_nearest_other(found)
    torch.testing.assert_close(others[:, 0], found[:, 1:].amin(1))
    torch.testing.assert_close(others[:, 2], found[:, [0, 1, 3]].amin(1))
    assert torch.equal(of_nearest_other(found[:, :1]), found[:, :1])


def test_maps_stand_in_the_published_order():
    query, previous, label_map = maps(1, 8, 8)
    method, bias = matching(windows=[1, 2, 3]), torch.tensor([0.3, -0.2, -0.2])
    entries = Entries([0, 0, 0], [0, 1, 2])
    kept = [[method.reference(previous, label_map, COUNT)[0][0]]]
    found = method.maps(query, kept, previous, label_map, bias, entries)
    distances = all_at_once(query, previous, label_map, COUNT, [1, 2, 3])[0]
    local = torch.tanh((distances + bias[:, None, None, None]) / 2)
    assert found.shape == (3, method.num_maps, 8, 8) == (3, 9, 8, 8)
    torch.testing.assert_close(found[:, 1:4], local[:, [2, 0, 1]], rtol=0, atol=1e-5)
    assert torch.equal(found[:, 4], (label_map == torch.arange(3)[:, None, None]).float())
    torch.testing.assert_close(found[1, 5:8], torch.minimum(found[0, 1:4], found[2, 1:4]))
    torch.testing.assert_close(found[1, 8], torch.minimum(found[0, 0], found[2, 0]))


def test_without_background_maps_only_the_entrys_own_remain():
    query, previous, label_map = maps(1, 8, 8)
    with_them, without = matching(windows=[1, 2]), matching(windows=[1, 2], background=False)
    entries, bias = Entries([0, 0, 0], [0, 1, 2]), torch.zeros(3)
    kept = [[with_them.reference(previous, label_map, COUNT)[0][0]]]
    both = [method.maps(query, kept, previous, label_map, bias, entries) for method in (with_them, without)]
    assert without.num_maps == 4
    assert torch.equal(both[0][:, :4], both[1])


def test_sub_sampling_keeps_the_grid_and_spares_small_entries_when_asked():
    label_map = torch.zeros(1, 8, 8, dtype=torch.long)
    label_map[0, 3:5, 3:5] = 1  # four pixels, one of them on the grid
    thin, spared = on_grid(label_map, 2, 0, 2), on_grid(label_map, 2, 1, 2)
    assert int((thin == 0).sum()) == 15
    assert int((thin == 1).sum()) == 1
    assert int((spared == 0).sum()) == 15  # 60 pixels are more than 1 x 2 x 2
    assert int((spared == 1).sum()) == 4  # four are not
    assert torch.equal(on_grid(label_map, 1, 5, 2), label_map)


@pytest.mark.parametrize("changes", [{"atrous": [1]}, {"windows": [[2, 1]] * 3}, {"min_pixels": -1}])
def test_impossible_options_are_refused_by_name(changes):
    with pytest.raises(Exception, match=f"matching.{next(iter(changes))}"):
        options(**changes)
