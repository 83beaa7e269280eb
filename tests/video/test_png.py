"""Reading label maps: every kind of PNG that holds indices, and one sentence for each that does not."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.shared import SHARED, needs_shared
from vosbench.errors import DatasetError
from vosbench.video.png import read_indices

GRAY, RGB, PALETTE = 0, 2, 3


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rows: list[bytes], width: int, depth: int = 8, colour_type: int = GRAY, pieces: int = 1) -> bytes:
    """A PNG from rows that begin with their filter byte."""
    compressed = zlib.compress(b"".join(rows))
    step = -(-len(compressed) // pieces)
    parts = [chunk(b"IDAT", compressed[start : start + step]) for start in range(0, len(compressed), step)]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(rows), depth, colour_type, 0, 0, 0))
    palette = chunk(b"PLTE", bytes(range(256)) * 3) if colour_type == PALETTE else b""
    return b"\x89PNG\r\n\x1a\n" + header + palette + b"".join(parts) + chunk(b"IEND", b"")


def filtered(label_map: np.ndarray, filters: list[int]) -> list[bytes]:
    """Rows with the given filters applied, straight from the format's definition."""
    rows, above = [], [0] * label_map.shape[1]
    for kind, row in zip(filters, label_map.tolist(), strict=True):
        left, corner = [0, *row[:-1]], [0, *above[:-1]]
        guess = {
            0: [0] * len(row),
            1: left,
            2: above,
            3: [(a + b) // 2 for a, b in zip(left, above, strict=True)],
            4: [min((a, b, c), key=lambda v, p=a + b - c: abs(p - v)) for a, b, c in zip(left, above, corner, strict=True)],
        }[kind]
        rows.append(bytes([kind, *[(value - by) % 256 for value, by in zip(row, guess, strict=True)]]))
        above = row
    return rows


def random_map(height: int = 9, width: int = 13, below: int = 256) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, below, (height, width), dtype=np.uint8)


@settings(max_examples=40)
@given(filters=st.lists(st.integers(0, 4), min_size=9, max_size=9), colour_type=st.sampled_from([GRAY, PALETTE]))
def test_every_row_filter_is_undone(tmp_path_factory, filters, colour_type):
    path = tmp_path_factory.mktemp("png") / "00000.png"
    path.write_bytes(png(filtered(random_map(), filters), 13, colour_type=colour_type))

    np.testing.assert_array_equal(read_indices(path), random_map())


@pytest.mark.parametrize("colour_type", [GRAY, PALETTE])
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bits_per_pixel_hold_the_same_indices(tmp_path, depth, colour_type):
    expected = random_map(below=2**depth)
    bits = (expected[:, :, None] >> np.arange(depth - 1, -1, -1) & 1).reshape(9, -1)
    rows = [bytes([0, *np.packbits(row).tolist()]) for row in bits]
    (tmp_path / "00000.png").write_bytes(png(rows, 13, depth, colour_type))

    np.testing.assert_array_equal(read_indices(tmp_path / "00000.png"), expected)


def test_pixels_may_be_split_over_chunks(tmp_path):
    (tmp_path / "00000.png").write_bytes(png(filtered(random_map(), [0] * 9), 13, pieces=3))

    np.testing.assert_array_equal(read_indices(tmp_path / "00000.png"), random_map())


def test_of_gray_and_alpha_the_first_channel_counts(tmp_path):
    Image.fromarray(np.stack([random_map(), random_map() // 2], axis=2), "LA").save(tmp_path / "00000.png")

    np.testing.assert_array_equal(read_indices(tmp_path / "00000.png"), random_map())


def test_sixteen_bits_are_accepted_while_the_ids_fit(tmp_path):
    Image.fromarray(random_map().astype(np.uint16)).save(tmp_path / "small.png")
    Image.fromarray(random_map().astype(np.uint16) + 200).save(tmp_path / "large.png")

    np.testing.assert_array_equal(read_indices(tmp_path / "small.png"), random_map())
    with pytest.raises(DatasetError, match=r"large\.png: the largest value is .* object ids end at 255"):
        read_indices(tmp_path / "large.png")


def test_colours_are_refused_with_a_hint(tmp_path):
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "00000.png")

    with pytest.raises(DatasetError, match=r"00000\.png: the file holds colours instead of indices"):
        read_indices(tmp_path / "00000.png")


@pytest.mark.parametrize("kept", [0, 5, 20, 40, 70, 100])
def test_a_file_cut_short_is_named(tmp_path, kept):
    whole = png(filtered(random_map(), [0] * 9), 13)
    (tmp_path / "00007.png").write_bytes(whole[:kept])

    with pytest.raises(DatasetError, match=r"00007\.png"):
        read_indices(tmp_path / "00007.png")


@pytest.mark.parametrize("place", [18, 45, 60])
def test_a_flipped_byte_is_noticed(tmp_path, place):
    whole = bytearray(png(filtered(random_map(), [0] * 9), 13))
    whole[place] ^= 0x10
    (tmp_path / "00007.png").write_bytes(bytes(whole))

    with pytest.raises(DatasetError, match=r"00007\.png: the PNG is damaged"):
        read_indices(tmp_path / "00007.png")


def test_pixels_that_do_not_fit_the_size_are_noticed(tmp_path):
    (tmp_path / "00007.png").write_bytes(png(filtered(random_map(), [0] * 9), 12))

    with pytest.raises(DatasetError, match="damaged"):
        read_indices(tmp_path / "00007.png")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"00007\.png: this label map does not exist"):
        read_indices(tmp_path / "00007.png")


def test_the_map_is_writable_and_contiguous(tmp_path):
    (tmp_path / "00000.png").write_bytes(png(filtered(random_map(), [0] * 9), 13))

    label_map = read_indices(tmp_path / "00000.png")

    assert label_map.flags.writeable
    assert label_map.flags.c_contiguous


@needs_shared("data/masks-davis16")
@pytest.mark.parametrize("place", ["bear/00077.png", "bear/00075.png", "dog-agility/00000.png"])
def test_files_of_davis_2016_are_read_as_pillow_reads_them(place):
    path: Path = SHARED / "data/masks-davis16/gt" / place

    expected = np.asarray(Image.open(path))

    np.testing.assert_array_equal(read_indices(path), expected if expected.ndim == 2 else expected[:, :, 0])
