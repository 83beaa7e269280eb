"""Frames from a folder: order, names, and every way in which a file can be broken."""

import threading

import cv2
import numpy as np
import pytest

from tests.shared import SHARED, needs_shared
from vosbench.errors import DatasetError
from vosbench.video.frames import FolderFrames, natural_key, prefetched
from vosbench.video.video_file import open_frames


def write_frames(folder, names, size=(24, 32)):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        picture = np.full((*size, 3), (number, 2 * number, 200), np.uint8)  # OpenCV writes blue, green, red
        cv2.imwrite(str(folder / name), picture)
    return folder


class CountingFrames:
    """Frames that say when they are decoded; one of them may fail."""

    def __init__(self, count, broken=None):
        self.names, self.broken = [f"{number:05d}" for number in range(count)], broken
        self.decoded, self.seventh = [], threading.Event()

    def __len__(self):
        return len(self.names)

    def __getitem__(self, frame_index):
        self.decoded.append(frame_index)
        if frame_index == 6:
            self.seventh.set()
        if frame_index == self.broken:
            raise DatasetError("frame 00003 is broken")
        return np.full((2, 3, 3), frame_index, np.uint8)


def decoder_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("decoder")]


def test_frames_are_rgb_in_natural_order_and_named_by_their_stems(tmp_path):
    frames = FolderFrames(write_frames(tmp_path / "bear", ["1.png", "2.png", "10.png", "._1.png", "notes.txt.png"]))
    assert frames.names == ["1", "2", "10", "notes.txt"]
    np.testing.assert_array_equal(frames[2][0, 0], [200, 4, 2])
    assert frames.size == (24, 32)


@pytest.mark.parametrize(("before", "after"), [("9", "10"), ("a2b", "a10b"), ("00009", "00010"), ("a", "b"), ("7", "x")])
def test_natural_order_counts(before, after):
    assert natural_key(before) < natural_key(after)


@pytest.mark.parametrize("kept", [0.5, 0.9, 0.999])
@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_a_truncated_frame_is_an_error_that_names_file_sequence_and_frame(tmp_path, kept, ending):
    folder = write_frames(tmp_path / "bear", [f"00000.{ending}", f"00001.{ending}"])
    noise = np.random.default_rng(0).integers(0, 255, (24, 32, 3)).astype(np.uint8)
    content = cv2.imencode(f".{ending}", noise)[1].tobytes()
    (folder / f"00001.{ending}").write_bytes(content[: int(len(content) * kept)])
    frames = FolderFrames(folder)
    assert frames[0].shape == (24, 32, 3)
    with pytest.raises(DatasetError, match=rf"00001\.{ending}: frame '00001' of sequence 'bear' is cut off"):
        frames[1]


def test_a_truncated_jpeg_with_a_whole_thumbnail_is_still_truncated(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (24, 32, 3)).astype(np.uint8)
    content = cv2.imencode(".jpg", noise)[1].tobytes()
    thumbnail = cv2.imencode(".jpg", noise[:8, :8])[1].tobytes()
    marker = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    whole = content[:2] + marker + content[2:]
    folder = write_frames(tmp_path / "bear", ["0.jpg", "1.jpg"])
    (folder / "0.jpg").write_bytes(whole + b"\0\0some camera's trailer")
    (folder / "1.jpg").write_bytes(whole[:-200])
    frames = FolderFrames(folder)
    assert frames[0].shape == (24, 32, 3)
    with pytest.raises(DatasetError, match="cut off"):
        frames[1]


def test_files_that_are_no_images_are_named(tmp_path):
    folder = write_frames(tmp_path / "bear", ["0.jpg"])
    (folder / "1.jpg").write_text("<html>404</html>")
    (folder / "2.jpg").touch()
    frames = FolderFrames(folder)
    with pytest.raises(DatasetError, match=r"1\.jpg: frame '1' of sequence 'bear' cannot be decoded"):
        frames[1]
    with pytest.raises(DatasetError, match=r"2\.jpg: frame '2' of sequence 'bear' is an empty file"):
        frames[2]


def test_a_frame_of_another_size_is_an_error(tmp_path):
    folder = write_frames(tmp_path / "bear", ["0.jpg"])
    write_frames(folder, ["1.jpg"], size=(24, 30))
    with pytest.raises(DatasetError, match=r"1\.jpg: frame '1' of sequence 'bear' is 24x30 but the first frame is 24x32"):
        FolderFrames(folder)[1]


def test_empty_missing_and_doubled_frames_are_errors(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="empty: holds no frames of sequence 'empty'"):
        FolderFrames(tmp_path / "empty")
    with pytest.raises(DatasetError, match="nowhere: the folder with the frames of sequence 'bear' is missing"):
        FolderFrames(tmp_path / "nowhere", "bear")
    with pytest.raises(DatasetError, match="frame '0' of sequence 'twice' is there twice"):
        FolderFrames(write_frames(tmp_path / "twice", ["0.jpg", "0.png"]))


def test_prefetched_gives_the_frames_in_order():
    assert [int(image[0, 0, 0]) for image in prefetched(CountingFrames(20), ahead=3)] == list(range(20))
    assert list(prefetched(CountingFrames(0))) == []


def test_prefetched_is_bounded_and_stops_when_dropped():
    frames = CountingFrames(100)
    images = prefetched(frames, ahead=4)
    next(images)
    assert not frames.seventh.wait(0.2)  # time enough to decode it, if it were asked for
    images.close()
    assert frames.decoded == [0, 1, 2, 3, 4]
    assert decoder_threads() == []


def test_prefetched_raises_a_frames_error_at_its_turn():
    images = prefetched(CountingFrames(9, broken=3), ahead=8)
    assert [int(next(images)[0, 0, 0]) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DatasetError, match="00003 is broken"):
        next(images)
    assert decoder_threads() == []


def test_open_frames_refuses_a_single_image_and_nothing(tmp_path):
    write_frames(tmp_path, ["0.jpg"])
    with pytest.raises(DatasetError, match="is a single image"):
        open_frames(tmp_path / "0.jpg")
    with pytest.raises(DatasetError, match="there is no such video file"):
        open_frames(tmp_path / "clip.mp4")


@needs_shared("data/demo")
def test_real_frames_are_those_that_opencv_reads():
    folder = SHARED / "data/demo/JPEGImages/judo"
    frames = open_frames(folder)
    np.testing.assert_array_equal(frames[5], cv2.imread(str(folder / "00005.jpg"))[..., ::-1])
    assert (len(frames), frames.size) == (16, (480, 854))
