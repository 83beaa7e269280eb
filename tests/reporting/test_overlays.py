"""Overlays, contact sheets and overlay videos."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.shared import SHARED, needs_shared
from vosbench.errors import RunError
from vosbench.reporting.overlay_video import OverlayVideo
from vosbench.reporting.overlays import SheetFrame, contact_sheet, evenly_chosen, overlay
from vosbench.reporting.written_beside import write_image, write_text


def black(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A frame without an object, and its label map."""
    return np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)


def square(label: int = 1) -> np.ndarray:
    label_map = np.zeros((40, 60), np.uint8)
    label_map[10:30, 20:50] = label
    return label_map


@given(seed=st.integers(0, 2**16), alpha=st.floats(0.0, 1.0))
def test_background_pixels_stay_unchanged(seed, alpha):
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 256, (17, 23, 3), dtype=np.uint8)
    label_map = generator.integers(0, 4, (17, 23), dtype=np.uint8)

    shown = overlay(image, label_map, alpha)

    np.testing.assert_array_equal(shown[label_map == 0], image[label_map == 0])


def test_an_object_is_tinted_with_half_its_davis_colour():
    image = np.full((40, 60, 3), 100, np.uint8)

    shown = overlay(image, square(label=2), alpha=0.5)

    # id 2 is (0, 128, 0); halfway to 100 is (50, 114, 50). The pixel lies well inside the object.
    assert shown[20, 35].tolist() == [50, 114, 50]


def test_a_line_of_one_pixel_runs_inside_the_border():
    image = np.full((40, 60, 3), 100, np.uint8)

    shown = overlay(image, square(label=1), alpha=0.5)

    # id 1 is (128, 0, 0); lifted half-way to white it is (192, 128, 128).
    assert shown[10, 35].tolist() == [192, 128, 128]
    assert shown[11, 35].tolist() == [114, 50, 50]
    assert shown[20, 20].tolist() == [192, 128, 128]


def test_an_object_that_fills_the_frame_has_no_line():
    shown = overlay(np.full((8, 8, 3), 100, np.uint8), np.ones((8, 8), np.uint8))

    assert np.unique(shown.reshape(-1, 3), axis=0).tolist() == [[114, 50, 50]]


def test_the_input_is_not_written_to():
    image, label_map = np.full((40, 60, 3), 100, np.uint8), square()

    overlay(image, label_map)

    assert (image == 100).all()
    assert label_map.max() == 1


def test_an_alpha_outside_zero_to_one_is_refused():
    with pytest.raises(ValueError, match=r"alpha must lie in \[0, 1\], got 1.5"):
        overlay(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8), alpha=1.5)


@needs_shared("data/demo/Annotations/street-44-objects")
def test_boxes_are_drawn_inside_their_edges_and_change_nothing_else():
    image = np.full((20, 30, 3), 100, np.uint8)

    shown = overlay(image, np.zeros((20, 30), np.uint8), boxes={2: (4.0, 3.0, 14.0, 9.0), 5: None})

    line = (shown != 100).any(2)
    expected = np.zeros((20, 30), bool)
    expected[3:9, 4:14] = True
    expected[4:8, 5:13] = False
    assert np.array_equal(line, expected)


def test_neighbours_among_44_objects_are_kept_apart_by_a_line():
    folder = SHARED / "data" / "demo"
    image = np.array(Image.open(sorted((folder / "JPEGImages" / "street-44-objects").glob("*.jpg"))[0]))
    label_map = np.array(Image.open(sorted((folder / "Annotations" / "street-44-objects").glob("*.png"))[0]))

    shown = overlay(image, label_map)

    meets = (label_map[:, 1:] != label_map[:, :-1]) & (label_map[:, 1:] > 0) & (label_map[:, :-1] > 0)
    left, right = shown[:, :-1][meets], shown[:, 1:][meets]
    assert len(np.unique(label_map)) == 45
    assert min(left.min(), right.min()) >= 128  # every line colour is at least half-way to white


@pytest.mark.parametrize(
    ("count", "wanted", "indices"), [(10, 4, [0, 3, 6, 9]), (3, 6, [0, 1, 2]), (5, 1, [0]), (0, 4, []), (7, 3, [0, 3, 6])]
)
def test_frames_are_chosen_evenly_with_first_and_last(count, wanted, indices):
    assert evenly_chosen(count, wanted) == indices


def test_a_contact_sheet_has_a_row_for_each_sequence_and_the_wanted_columns():
    frames = [SheetFrame(f"{index:05d}", np.full((50, 100, 3), 200, np.uint8), 0.8) for index in range(9)]

    sheet = contact_sheet({"bear": frames, "bmx-trees": frames[:2], "empty": []}, columns=4, cell_height=60)

    # cells of 120 x 60 under captions of 20 lines, 4 pixels of gap after each cell and row
    assert sheet.shape == (2 * (60 + 20 + 4), 4 * (120 + 4), 3)
    assert (sheet[20:80, :120] == 200).all()
    assert (sheet[84 + 20 : 84 + 80, 2 * 124 :] == 24).all()  # the second row has two cells only


def test_a_contact_sheet_without_frames_is_refused():
    with pytest.raises(ValueError, match="at least one frame"):
        contact_sheet({"bear": []})


def test_a_caption_beyond_ascii_does_not_break_a_sheet():
    sheet = contact_sheet({"Bär/猫": [SheetFrame("00000", np.zeros((20, 30, 3), np.uint8))]}, cell_height=20)

    assert sheet.shape[2] == 3


def test_a_video_of_overlays_can_be_read_back(tmp_path):
    path = tmp_path / "deep" / "bear.mp4"

    with OverlayVideo(path, fps=10.0) as video:
        for _ in range(5):
            video.add(np.full((41, 61, 3), 100, np.uint8), np.zeros((41, 61), np.uint8))

    reader = cv2.VideoCapture(str(path))
    frames = [reader.read()[1] for _ in range(5)]
    assert reader.read()[0] is False
    assert frames[4].shape == (42, 62, 3)  # odd sizes grow by one line: MPEG-4 needs even ones
    assert abs(int(frames[4][20, 30, 0]) - 100) < 6
    assert [item.name for item in path.parent.iterdir()] == ["bear.mp4"]


def make_a_video_that_fails(path: Path) -> None:
    with OverlayVideo(path) as video:
        video.add(*black(40, 60))
        raise FileNotFoundError("frame 00001")


def test_a_video_whose_making_fails_leaves_nothing_behind(tmp_path):
    with pytest.raises(FileNotFoundError):
        make_a_video_that_fails(tmp_path / "bear.mp4")

    assert list(tmp_path.iterdir()) == []


def test_a_video_without_a_frame_is_no_file(tmp_path):
    with OverlayVideo(tmp_path / "bear.mp4"):
        pass

    assert list(tmp_path.iterdir()) == []


def test_a_video_refuses_a_frame_of_another_size(tmp_path):
    with OverlayVideo(tmp_path / "bear.mp4") as video:
        video.add(*black(40, 60))

        with pytest.raises(RunError, match="a frame of 30x20 pixels follows frames of 60x40"):
            video.add(*black(20, 30))


def test_a_missing_codec_is_told_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2.VideoWriter, "isOpened", lambda writer: False)

    with OverlayVideo(tmp_path / "bear.mp4") as video, pytest.raises(RunError, match="cannot write MP4"):
        video.add(*black(40, 60))

    assert list(tmp_path.iterdir()) == []


def test_an_image_is_written_in_rgb_and_whole(tmp_path):
    image = np.zeros((6, 8, 3), np.uint8)
    image[..., 0] = 250

    path = write_image(tmp_path / "new" / "red.png", image)

    assert np.array(Image.open(path))[0, 0].tolist() == [250, 0, 0]
    assert [item.name for item in path.parent.iterdir()] == ["red.png"]


def test_a_place_that_cannot_be_written_is_told_with_the_remedy(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(RunError, match=r"file/report.html cannot be written: .*; choose a folder"):
        write_text(tmp_path / "file" / "report.html", "x")
