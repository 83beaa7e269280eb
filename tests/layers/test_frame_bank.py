"""Which frames a bank keeps, and which of them an object reads."""

import pytest
import torch
from torch import Tensor

from vosbench.errors import ConfigError
from vosbench.layers.frame_bank import ORDINARY, PERMANENT, TEMPORARY, FrameBank

KEY = "method.memory.max_frames"


def frame(number: int, kind: str, *, shared: bool, objects: int = 2) -> FrameBank:
    """One frame of three tokens with numbers of its own."""
    generator = torch.Generator().manual_seed(number)
    key = torch.randn(1, 1 if shared else objects, 3, 4, generator=generator)
    return FrameBank.written(key, torch.randn(1, objects, 3, 5, generator=generator), shared=shared, kind=kind, number=number)


def bank(kinds: list[str], *, shared: bool = True) -> FrameBank:
    frames = [frame(number, kind, shared=shared) for number, kind in enumerate(kinds)]
    joined = frames[0]
    for newer in frames[1:]:
        joined = joined.joined(newer)
    return joined


def read(frames: FrameBank, born: list[list[int]], max_frames: int | None = None, top_k: int | None = None) -> Tensor:
    query = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(99))
    return frames.read(query, born, max_frames=max_frames, similarity="l2", top_k=top_k, kernel_sigma=None, size=(2, 3))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("top_k", [None, 4])
def test_a_late_object_reads_only_what_was_written_since_it_entered(shared, top_k):
    whole, later = (
        bank([PERMANENT, ORDINARY, PERMANENT, ORDINARY], shared=shared),
        [frame(number, kind, shared=shared) for number, kind in ((2, PERMANENT), (3, ORDINARY))],
    )
    both = read(whole, [[0, 2]], top_k=top_k)
    torch.testing.assert_close(both[:, 0], read(whole, [[0, 0]], top_k=top_k)[:, 0])
    torch.testing.assert_close(both[:, 1], read(later[0].joined(later[1]), [[0, 0]], top_k=top_k)[:, 1])
    assert float((both[:, 1] - read(whole, [[0, 0]], top_k=top_k)[:, 1]).abs().max()) > 1e-3


def test_the_oldest_ordinary_frame_goes_first_and_permanent_ones_stay():
    bounded = bank([PERMANENT, ORDINARY, ORDINARY, PERMANENT, ORDINARY]).bounded([[0, 0]], 4, KEY)
    assert bounded.numbers == [0, 2, 3, 4]
    assert torch.equal(bounded.key[:, :, 1], frame(2, ORDINARY, shared=True).key[:, :, 0])


def test_each_object_has_the_bound_to_itself():
    # given an object that entered with the second permanent frame, and so has one permanent frame less
    whole = bank([PERMANENT, ORDINARY, PERMANENT, ORDINARY, ORDINARY, ORDINARY])
    held = whole.held([[0, 2]], 4)[0]
    assert [place for place, reads in enumerate(held[0]) if reads] == [0, 2, 4, 5]
    assert [place for place, reads in enumerate(held[1]) if reads] == [2, 3, 4, 5]
    bounded = whole.bounded([[0, 2]], 4, KEY)
    assert bounded.numbers == [0, 2, 3, 4, 5]
    torch.testing.assert_close(read(bounded, [[0, 2]], 4), read(whole, [[0, 2]], 4))


def test_a_bound_that_has_no_room_beside_the_permanent_frames_is_refused():
    with pytest.raises(ConfigError, match=r"method\.memory\.max_frames=2: 2 frames with given masks"):
        bank([PERMANENT, PERMANENT]).bounded([[0, 0]], 2, KEY)


def test_the_temporary_frame_goes_and_the_others_stay():
    assert bank([PERMANENT, TEMPORARY]).lasting().numbers == [0]
    assert bank([PERMANENT, ORDINARY]).lasting().numbers == [0, 1]
    assert bank([TEMPORARY]).lasting() is None


@pytest.mark.parametrize("shared", [True, False])
def test_a_longer_object_axis_leaves_the_others_what_they_read(shared):
    whole = bank([PERMANENT, ORDINARY], shared=shared)
    grown = whole.grown(4)
    torch.testing.assert_close(read(grown, [[0, 0, -1, -1]])[:, :2], read(whole, [[0, 0]]))
    assert (
        grown.read(
            torch.zeros(1, 6, 4), [[0, 0, -1, -1]], max_frames=None, similarity="dot", top_k=2, kernel_sigma=None, size=(2, 3)
        )
        .isfinite()
        .all()
    )
