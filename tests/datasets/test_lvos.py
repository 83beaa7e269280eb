"""LVOS on disk: names that count the source video, entry frames, seen and unseen videos."""

import json

import pytest

from tests.datasets.tiny import write_images, write_masks
from vosbench.datasets.lvos import LVOS
from vosbench.errors import DatasetError

NAMES = ["00000001", "00000006", "00000011"]


@pytest.fixture
def lvos_folder(tmp_path):
    root = tmp_path / "LVOS"
    write_images(root / "val/JPEGImages/vid1", NAMES)
    write_masks(root / "val/Annotations/vid1", {NAMES[0]: (1,), NAMES[1]: (1, 2), NAMES[2]: (2,)})
    ranges = {
        "1": {"start": "00000001", "end": "00000006", "frame_nums": "2"},
        "2": {"start": "6", "end": "11", "frame_nums": "2"},
    }
    content = {"videos": {"vid1": {"objects": {key: {"frame_range": value} for key, value in ranges.items()}}}}
    (root / "valid_meta.json").write_text(json.dumps(content))
    return root


def test_objects_start_where_the_meta_file_says(lvos_folder):
    dataset = LVOS(lvos_folder, split="val")
    assert [(item.object_id, item.first_frame, item.category) for item in dataset[0].objects] == [(1, 0, None), (2, 1, None)]
    assert (len(dataset), dataset.name, dataset.protocol) == (1, "lvos/val", "lvos")


def test_a_label_before_its_objects_start_is_no_prompt(lvos_folder):
    write_masks(lvos_folder / "val/Annotations/vid1", {NAMES[0]: (1, 2)})
    assert [(item.object_id, item.first_frame) for item in LVOS(lvos_folder, split="val")[0].objects] == [(1, 0), (2, 1)]


def test_either_name_of_the_validation_split_is_found(lvos_folder):
    assert LVOS(lvos_folder, split="valid").sequences == ["vid1"]
    (lvos_folder / "valid_meta.json").rename(lvos_folder / "val/val_meta.json")
    assert LVOS(lvos_folder, split="val").sequences == ["vid1"]


def test_seen_and_unseen_are_told_per_video(lvos_folder, tmp_path):
    (tmp_path / "unseen_videos.txt").write_text("vid1\n")
    dataset = LVOS(lvos_folder, split="val", unseen=tmp_path / "unseen_videos.txt")
    assert {item.category for item in dataset[0].objects} == {"unseen"}
    assert dataset.categories_seen == {"seen"}


def test_an_object_that_never_appears_is_named(lvos_folder):
    write_masks(lvos_folder / "val/Annotations/vid1", dict.fromkeys(NAMES, (1,)))
    with pytest.raises(DatasetError, match=r"object 2 of sequence 'vid1'.*frame 6, is in none of the masks"):
        LVOS(lvos_folder, split="val")[0].objects  # noqa: B018


def test_a_missing_meta_file_is_named(lvos_folder):
    (lvos_folder / "valid_meta.json").unlink()
    with pytest.raises(DatasetError, match=r"val_meta\.json: the list of videos"):
        LVOS(lvos_folder, split="val")
