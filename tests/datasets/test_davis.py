"""DAVIS on disk: splits, held-out sequences, objects of the first frame, and what a broken copy is told."""

import logging

import cv2
import pytest

from tests.datasets.tiny import label_map, write_images, write_masks
from tests.shared import SHARED, needs_shared
from vosbench.datasets.davis import Davis
from vosbench.errors import ConfigError, DatasetError

FRAMES = ["00000", "00001", "00002"]


@pytest.fixture
def davis_folder(tmp_path):
    """Three sequences with two objects each, and void pixels in the first."""
    root = tmp_path / "DAVIS"
    for name in ("bear", "bus", "judo"):
        write_images(root / "JPEGImages/480p" / name, FRAMES)
        write_masks(root / "Annotations/480p" / name, dict.fromkeys(FRAMES, (1, 3)))
    write_masks(root / "Annotations/480p/bear", {"00000": (1, 3, 255)})
    for year in ("2016", "2017"):
        (root / "ImageSets" / year).mkdir(parents=True)
        (root / "ImageSets" / year / "train.txt").write_text("bear\njudo\n\n")
        (root / "ImageSets" / year / "val.txt").write_text("bus\r\n")
    return root


def test_2017_gives_the_objects_of_the_first_frame_without_void(davis_folder):
    dataset = Davis(davis_folder, year=2017, split="train")
    bear = dataset[0]
    assert [sequence.name for sequence in dataset] == ["bear", "judo"]
    assert [(item.object_id, item.first_frame) for item in bear.objects] == [(1, 0), (3, 0)]
    assert (bear.size, list(bear.label_maps), bear.frames.names) == ((24, 32), [0, 1, 2], FRAMES)
    assert sorted(bear.prompts(0)) == [1, 3]
    assert (bear.prompts(0)[3] == (label_map(3) == 3)).all()
    assert (dataset.name, dataset.protocol, dataset.annotation_step) == ("davis17/train", "davis", 1)


def test_2016_gives_the_union_of_all_labels_as_one_object(davis_folder):
    dataset = Davis(str(davis_folder), year=2016, split="val")
    bus = dataset[0]
    assert (dataset.name, dataset.protocol) == ("davis16/val", "single")
    assert [item.object_id for item in bus.objects] == [1]
    assert (bus.label_maps[1] == (label_map(1, 3) > 0)).all()


def test_2016_reads_the_0_255_masks_of_the_original_package(davis_folder):
    cv2.imwrite(str(davis_folder / "Annotations/480p/bus/00000.png"), 255 * (label_map(1) > 0).astype("uint8"))
    assert Davis(davis_folder, year=2016, split="val")[0].label_maps[0].max() == 1
    with pytest.raises(DatasetError, match=r"holds only 0 and 255.*data=davis16"):
        Davis(davis_folder, year=2017, split="val")[0].objects  # noqa: B018


def test_the_two_path_split_files_of_2016_are_read(davis_folder):
    (davis_folder / "ImageSets/2016/val.txt").unlink()
    (davis_folder / "ImageSets/480p").mkdir()
    lines = [
        f"/JPEGImages/480p/{name}/{frame}.jpg /Annotations/480p/{name}/{frame}.png"
        for name in ("judo", "bus")
        for frame in FRAMES
    ]
    (davis_folder / "ImageSets/480p/val.txt").write_text("\n".join(lines))
    assert Davis(davis_folder, year=2016, split="val").sequences == ["judo", "bus"]


def test_sequences_are_held_out_without_a_split_file_of_their_own(davis_folder):
    (davis_folder / "ImageSets/2016/val.txt").unlink()
    train = Davis(davis_folder, year=2016, split="train", exclude=["judo"])
    held_out = Davis(davis_folder, year=2016, split="val", sequences=["judo"])
    assert (train.sequences, held_out.sequences) == (["bear"], ["judo"])


def test_a_mistyped_name_is_no_hold_out(davis_folder):
    with pytest.raises(ConfigError, match="exclude: there is no sequence 'juda' in davis16/train; did you mean 'judo'"):
        Davis(davis_folder, year=2016, split="train", exclude=["juda"])
    with pytest.raises(ConfigError, match="sequences: there is no sequence 'xyz'"):
        Davis(davis_folder, year=2016, split="train", sequences=["xyz"])
    with pytest.raises(ConfigError, match="nothing is left"):
        Davis(davis_folder, year=2016, split="val", exclude=["bus"])


def test_each_missing_thing_is_named(davis_folder, tmp_path):
    with pytest.raises(DatasetError, match=r"nowhere: the DAVIS folder .* is missing; set data\.root"):
        Davis(tmp_path / "nowhere", year=2017, split="val")
    with pytest.raises(
        DatasetError, match=r"JPEGImages/240p: the folder of images is missing; set data\.root and data\.resolution"
    ):
        Davis(davis_folder, year=2017, split="val", resolution="240p")
    with pytest.raises(DatasetError, match=r"2017/test-dev\.txt: the list of split 'test-dev' is missing \(there: train, val\)"):
        Davis(davis_folder, year=2017, split="test-dev")
    (davis_folder / "ImageSets/2017/val.txt").write_text("bus\nswan\n")
    with pytest.raises(DatasetError, match=r"JPEGImages/480p/swan: .*'swan' of davis17/val is missing \(1 of 2"):
        Davis(davis_folder, year=2017, split="val")


def test_a_missing_mask_in_mid_sequence_is_named(davis_folder):
    (davis_folder / "Annotations/480p/bus/00001.png").unlink()
    with pytest.raises(DatasetError, match=r"bus/00001\.png: the mask of frame '00001' of sequence 'bus' is missing"):
        Davis(davis_folder, year=2017, split="val")[0]


def test_a_test_split_has_its_first_masks_only(davis_folder):
    for frame in FRAMES[1:]:
        (davis_folder / f"Annotations/480p/bus/{frame}.png").unlink()
    bus = Davis(davis_folder, year=2017, split="val")[0]
    assert (list(bus.label_maps), len(bus.frames), len(bus.objects)) == ([0], 3, 2)


def test_a_mask_without_image_is_named(davis_folder):
    (davis_folder / "JPEGImages/480p/bus/00002.jpg").unlink()
    with pytest.raises(
        DatasetError, match=r"bus/00002\.png: sequence 'bus' has no frame '00002' \(its 2 frames are '00000' to '00001'\)"
    ):
        Davis(davis_folder, year=2017, split="val")[0]


def test_a_mask_of_another_size_is_named(davis_folder):
    write_masks(davis_folder / "Annotations/480p/bus", {"00001": (1,)}, size=(25, 32))
    with pytest.raises(
        DatasetError, match=r"bus/00001\.png: mask is 25x32 but the image of sequence 'bus', frame '00001' is 24x32"
    ):
        Davis(davis_folder, year=2017, split="val")[0].label_maps[1]


def test_an_empty_first_mask_is_named(davis_folder):
    write_masks(davis_folder / "Annotations/480p/bus", {"00000": ()})
    with pytest.raises(DatasetError, match=r"bus/00000\.png: the first mask of sequence 'bus' is empty"):
        Davis(davis_folder, year=2017, split="val")[0].objects  # noqa: B018


def test_opening_and_listing_decode_nothing(davis_folder, caplog):
    (davis_folder / "Annotations/480p/bear/00001.png").write_text("broken")
    (davis_folder / "JPEGImages/480p/bear/00001.jpg").write_text("broken")
    with caplog.at_level(logging.INFO):
        dataset = Davis(davis_folder, year=2017, split="train")
    assert len(dataset[0].label_maps) == 3
    assert "davis17/train: 2 sequences at 480p" in caplog.text


@needs_shared("data/davis16-240p")
def test_the_thirty_training_sequences_of_davis_2016_are_read():
    dataset = Davis(SHARED / "data/davis16-240p", year=2016, split="train", resolution="240p", exclude=["bear", "bus"])
    train = Davis(SHARED / "data/davis16-240p", year=2016, split="train", resolution="240p")
    frames = [(len(sequence.frames), len(sequence.label_maps)) for sequence in train]
    assert (len(dataset), len(train), sum(count for count, _ in frames)) == (28, 30, 2079)
    assert all(count == masks for count, masks in frames)
    assert dataset[0].frames[3].shape == (*dataset[0].label_maps[3].shape, 3)
    assert [(item.object_id, item.first_frame) for item in dataset[0].objects] == [(1, 0)]
