"""Frames of video files: any order gives the images of the order of time, whatever the header says."""

import logging
import pickle

import cv2
import numpy as np
import pytest

from tests.shared import SHARED, needs_shared
from vosbench.errors import DatasetError
from vosbench.video.frames import prefetched
from vosbench.video.video_file import VideoFrames, open_frames

JUGGLE = SHARED / "data/video/juggle.mp4"


@pytest.fixture
def clip(tmp_path):
    """Forty frames, each of its own grey, in a Motion-JPEG file."""
    path = tmp_path / "clip ü.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (64, 48))
    for number in range(40):
        writer.write(np.full((48, 64, 3), 6 * number, np.uint8))
    writer.release()
    return path


def test_frames_are_counted_named_and_sized(clip):
    frames = open_frames(clip)
    assert (len(frames), frames.size, frames.sequence) == (40, (48, 64), "clip ü")
    assert frames.names[:2] == ["00000", "00001"]
    assert frames.frames_per_second == 25.0


def test_any_order_gives_the_frames_of_that_number(clip):
    frames = VideoFrames(clip)
    order = [39, 0, 17, 18, 3, 38, 20, 0, 1]
    np.testing.assert_allclose([frames[number].mean() for number in order], [6 * number for number in order], atol=2)


def test_prefetching_and_random_access_share_one_file(clip):
    frames = VideoFrames(clip)
    images = prefetched(frames)
    means = []
    for number, image in enumerate(images):
        means.append(image.mean() - 6 * number)
        means.append(frames[5].mean() - 30)
    np.testing.assert_allclose(means, 0, atol=2)


def test_a_frame_behind_the_end_is_an_index_error(clip):
    with pytest.raises(IndexError):
        VideoFrames(clip)[40]


def test_a_header_that_promises_too_many_frames_is_corrected(clip, caplog):
    content = bytearray(clip.read_bytes())
    for place in (content.index(b"avih") + 8 + 16, content.index(b"strh") + 8 + 32):  # dwTotalFrames and dwLength of AVI
        assert content[place : place + 4] == (40).to_bytes(4, "little")
        content[place : place + 4] = (55).to_bytes(4, "little")
    clip.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        frames = VideoFrames(clip)
    assert len(frames) == 40
    assert "promises 55 frames but 40 can be decoded" in caplog.text
    np.testing.assert_allclose([frames[number].mean() for number in (39, 20, 2)], [234, 120, 12], atol=2)


class WrongSeeking:
    """OpenCV's reader over a container in which every jump lands seven frames early."""

    def __init__(self, real):
        self.real = real

    def set(self, what, value):
        return self.real.set(what, max(0.0, value - 7))

    def __getattr__(self, name):
        return getattr(self.real, name)


def test_a_seek_that_lands_on_another_frame_is_noticed(clip):
    frames = VideoFrames(clip)
    assert abs(frames[39].mean() - 234) < 2
    frames._capture = WrongSeeking(frames._capture)
    assert abs(frames[25].mean() - 150) < 2


def test_a_file_that_is_no_video_is_refused(tmp_path):
    (tmp_path / "clip.mp4").write_text("not a video")
    with pytest.raises(DatasetError, match=r"clip\.mp4: cannot be opened as a video"):
        open_frames(tmp_path / "clip.mp4")


def test_frames_travel_to_another_process(clip):
    frames = pickle.loads(pickle.dumps(VideoFrames(clip)))
    assert abs(frames[10].mean() - 60) < 2


@needs_shared("data/video")
def test_random_access_to_a_real_video_equals_reading_in_order():
    wanted = {0, 40, 41, 100, 246}
    reader, expected = cv2.VideoCapture(str(JUGGLE)), {}
    for number in range(247):
        ok, image = reader.read()
        expected.update({number: image[..., ::-1].copy()} if number in wanted else {})
    frames = VideoFrames(JUGGLE)
    assert (len(frames), frames.size, ok) == (247, (720, 1280), True)
    for number in (246, 41, 40, 0, 100):
        np.testing.assert_array_equal(frames[number], expected[number])
