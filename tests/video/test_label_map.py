"""Label maps: what is written comes back, in whatever kind of PNG it is stored."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from tests.shared import SHARED, needs_shared
from vosbench.errors import DatasetError
from vosbench.video.label_map import ids_present, read_label_map, write_label_map
from vosbench.video.palette import read_palette, voc_palette


def disk(height: int, width: int, value: int) -> np.ndarray:
    return cv2.circle(np.zeros((height, width), np.uint8), (width // 2, height // 2), height // 3, value, -1)


@given(
    label_map=arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 20)), elements=st.sampled_from([0, 1, 2, 7, 254, 255]))
)
def test_what_is_written_comes_back(label_map, tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "00000.png"
    write_label_map(path, label_map)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), label_map)  # an independent reader
    np.testing.assert_array_equal(read_label_map(path), label_map)


def test_the_file_is_a_palette_png_of_8_bits_without_row_filter_or_interlacing(tmp_path):
    path = tmp_path / "new" / "folder" / "00000.png"
    write_label_map(path, disk(48, 64, 200))
    content = path.read_bytes()
    assert content[24:29] == bytes([8, 3, 0, 0, 0])  # depth, palette, deflate, filter method, not interlaced
    assert [item.name for item in path.parent.iterdir()] == ["00000.png"]  # nothing is left beside it


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "00000.png"
    write_label_map(path, disk(8, 8, 1))
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_label_map(path, disk(8, 8, 2))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_palette_is_that_of_pascal_voc():
    first = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128), (128, 128, 128)]
    palette = voc_palette()
    np.testing.assert_array_equal(palette[:10], [*first, (64, 0, 0), (192, 0, 0)])
    assert len(np.unique(palette, axis=0)) == 256


def test_a_given_palette_is_kept_and_read_back(tmp_path):
    palette = voc_palette()[::-1].copy()
    write_label_map(tmp_path / "a.png", disk(8, 8, 3), palette)
    np.testing.assert_array_equal(read_palette(tmp_path / "a.png"), palette)


def test_a_gray_file_has_no_palette(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), disk(8, 8, 3))
    assert read_palette(tmp_path / "a.png") is None


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1"])
def test_single_objects_are_label_1_however_they_are_stored(tmp_path, mode):
    mask = disk(40, 60, 255)
    Image.fromarray(mask).convert(mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_label_map(tmp_path / "a.png", single_object=True), mask // 255)


def test_ids_are_listed_in_order_without_background():
    assert ids_present(np.array([[0, 255, 3], [1, 0, 3]], np.uint8)) == [1, 3, 255]
    assert ids_present(np.zeros((2, 2), np.uint8)) == []


@pytest.mark.parametrize("interpolation", [cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA])
def test_interpolated_masks_are_refused_with_their_number_of_ids(tmp_path, interpolation):
    smooth = cv2.resize(disk(480, 854, 255), (427, 240), interpolation=interpolation)
    smooth = cv2.resize(smooth, (600, 337), interpolation=interpolation)
    cv2.imwrite(str(tmp_path / "00007.png"), smooth)
    count = len(set(smooth.ravel().tolist()) - {0})
    with pytest.raises(DatasetError, match=rf"00007\.png: holds {count} object ids.*nearest-neighbour"):
        read_label_map(tmp_path / "00007.png")


def test_masks_that_went_through_jpeg_are_refused(tmp_path):
    coded = cv2.imdecode(cv2.imencode(".jpg", disk(480, 854, 255))[1], cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(tmp_path / "a.png"), coded)
    with pytest.raises(DatasetError, match="JPEG"):
        read_label_map(tmp_path / "a.png")


def test_a_hundred_real_objects_are_not_taken_for_interpolation(tmp_path):
    label_map = np.kron(np.arange(1, 241, dtype=np.uint8).reshape(12, 20), np.ones((4, 5), np.uint8))
    write_label_map(tmp_path / "a.png", label_map)
    np.testing.assert_array_equal(read_label_map(tmp_path / "a.png"), label_map)


def test_two_hundred_single_pixels_are_not_taken_for_interpolation(tmp_path):
    label_map = np.zeros((30, 40), np.uint8)
    label_map[::2, ::2] = np.arange(300, dtype=np.int64).reshape(15, 20) % 255 + 1
    write_label_map(tmp_path / "a.png", label_map)
    np.testing.assert_array_equal(read_label_map(tmp_path / "a.png"), label_map)


def test_colours_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(DatasetError, match=re.escape(str(tmp_path / "a.png"))):
        read_label_map(tmp_path / "a.png")


@needs_shared("data/masks-davis16")
def test_the_gray_and_alpha_file_of_davis_2016_is_read_by_its_first_channel():
    path = SHARED / "data/masks-davis16/gt/bear/00077.png"
    label_map = read_label_map(path, single_object=True)
    np.testing.assert_array_equal(label_map, np.asarray(Image.open(path))[..., 0] > 0)


@needs_shared("data/demo")
def test_a_street_with_44_objects_keeps_them_all():
    label_map = read_label_map(next(Path(SHARED / "data/demo/Annotations/street-44-objects").iterdir()))
    assert ids_present(label_map) == list(range(1, 45))
