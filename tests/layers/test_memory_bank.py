"""Eviction by hand and by its invariants."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from vosbench.layers.memory_bank import MemoryBank


def written(write_no: int, *, protected: bool = False, batch: int = 1, locations: int = 3) -> MemoryBank:
    """One frame whose keys tell the write and the location: 10 * write + location."""
    key = (10 * write_no + torch.arange(locations).float()).expand(batch, 1, locations)
    return MemoryBank.written(key, key + 0.5, key[:, None] * 2, write_no=write_no, protected=protected)


def test_the_least_used_unprotected_old_elements_go_first():
    # given three frames, the first protected, and more use of 10 and 12 than of 11
    bank = written(0, protected=True).joined(written(1)).used(torch.tensor([[0.0, 0.0, 0.0, 0.5, 0.1, 0.9]]))
    bank = bank.joined(written(2))
    # when two must go
    left = bank.evicted(7)
    # then 11 and 10, and everything that belongs to an element goes with it
    assert left.key.flatten().tolist() == [0, 1, 2, 12, 20, 21, 22]
    assert left.shrinkage.flatten().tolist() == [0.5, 1.5, 2.5, 12.5, 20.5, 21.5, 22.5]
    assert left.value.flatten().tolist() == [0, 2, 4, 24, 40, 42, 44]
    assert left.write_no.flatten().tolist() == [0, 0, 0, 1, 2, 2, 2]
    assert left.protected.flatten().tolist() == [True] * 3 + [False] * 4
    torch.testing.assert_close(left.use.flatten()[3], torch.tensor(0.9))


def test_the_oldest_of_equals_goes_first():
    bank = written(0).joined(written(1)).joined(written(2))
    assert bank.evicted(5).key.flatten().tolist() == [11, 12, 20, 21, 22]


def test_use_counts_per_read():
    # given an old element used 0.6 in three reads and a young one used 0.3 in one
    bank = written(0, locations=1).used(torch.tensor([[0.6]])).used(torch.tensor([[0.0]]))
    bank = bank.joined(written(1, locations=1)).used(torch.tensor([[0.0, 0.3]])).joined(written(2, locations=1))
    # then the old one goes, 0.2 a read against 0.3
    assert bank.evicted(2).key.flatten().tolist() == [10, 20]


def test_no_more_goes_than_is_eligible():
    bank = written(0, protected=True).joined(written(1)).joined(written(2, protected=True))
    assert bank.evicted(1).key.flatten().tolist() == [0, 1, 2, 20, 21, 22]


def test_the_most_used_stay_in_their_order():
    bank = written(0).joined(written(1)).used(torch.tensor([[0.5, 0.0, 0.2, 0.1, 0.2, 0.9]]))
    assert bank.most_used(3).key.flatten().tolist() == [0, 11, 12]  # of 2 and 11, equals, the newer
    assert bank.most_used(9).size == 6


def test_clips_of_a_batch_drop_their_own_elements():
    bank = written(0, batch=2).used(torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])).joined(written(1, batch=2))
    left = bank.evicted(5)
    assert left.key[:, 0].tolist() == [[0, 2, 10, 11, 12], [1, 2, 10, 11, 12]]
    assert left.value[:, 0, 0, :2].tolist() == [[0, 4], [2, 4]]


@given(capacity=st.integers(1, 30), frames=st.integers(1, 12), every=st.integers(1, 5), seed=st.integers(0, 99))
def test_the_bank_stays_bounded_and_keeps_protected_and_newest(capacity, frames, every, seed):
    generator = torch.Generator().manual_seed(seed)
    bank = written(0, protected=True)
    for write_no in range(1, frames):
        bank = bank.used(torch.rand(1, bank.size, generator=generator))
        bank = bank.joined(written(write_no, protected=write_no % every == 0)).evicted(capacity)
    protected = len(range(0, frames, every))
    assert bank.size <= max(capacity, (protected + 1) * 3)
    assert int(bank.protected.sum()) == protected * 3
    assert int((bank.write_no == frames - 1).sum()) == 3
    assert {tensor.shape[-1] for tensor in bank.fields().values()} == {bank.size}


def test_a_longer_object_axis_holds_zeros():
    grown = written(0).grown(3)
    assert grown.value.shape == (1, 3, 1, 3)
    assert grown.value[:, 1:].abs().sum() == 0
