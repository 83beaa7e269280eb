"""Annotated images on disk: pairs, thresholds, labels, and COCO's polygons and run lengths."""

import json
import logging

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle

from tests.datasets.tiny import label_map, write_images, write_masks
from vosbench.datasets.coco import CocoStills
from vosbench.datasets.stills import StillFolder
from vosbench.errors import DatasetError


def write_gray(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.asarray(values, np.uint8))


def ramp(level):
    return np.full((24, 32), level, np.uint8)


def test_images_and_masks_of_one_folder_pair_by_their_names_at_any_depth(tmp_path, caplog):
    for name in ("ant/1", "ant/10", "ant/2", "bee/1"):
        write_images((tmp_path / name).parent, [name.split("/")[1]])
        write_gray(tmp_path / f"{name}.png", ramp(255))
    (tmp_path / "bee/alone.jpg").touch()
    (tmp_path / "bee/lonely.png").touch()
    with caplog.at_level(logging.INFO):
        dataset = StillFolder(tmp_path, name="fss")
    assert [still.name for still in dataset] == ["ant/1", "ant/2", "ant/10", "bee/1"]
    assert dataset[0].image.shape == (24, 32, 3)
    assert "fss: 4 stills" in caplog.text
    assert "skipped 2 files without partner" in caplog.text


def test_masks_in_a_folder_of_their_own_may_belong_to_png_images(tmp_path):
    write_gray(tmp_path / "imgs/1.png", ramp(9))
    write_gray(tmp_path / "gt/1.png", ramp(255))
    assert StillFolder(tmp_path, images="imgs", masks="gt")[0].label_map.min() == 1


def test_the_object_is_what_is_above_127(tmp_path):
    write_images(tmp_path, ["1"], size=(1, 4))
    write_gray(tmp_path / "1.png", [[0, 127, 128, 255]])
    np.testing.assert_array_equal(StillFolder(tmp_path)[0].label_map, [[0, 0, 1, 1]])


def test_masks_in_colour_are_taken_by_their_brightness(tmp_path):
    write_images(tmp_path, ["1"], size=(1, 2))
    write_gray(tmp_path / "1.png", [[[0, 0, 0], [255, 255, 255]]])
    np.testing.assert_array_equal(StillFolder(tmp_path)[0].label_map, [[0, 1]])


def test_labels_stay_unless_they_are_too_large(tmp_path):
    write_images(tmp_path / "JPEGImages/VOC", ["1"])
    write_masks(tmp_path / "Annotations/VOC", {"1": (2, 20, 255)})
    dataset = StillFolder(tmp_path, images="JPEGImages/VOC", masks="Annotations/VOC", multi_object=True, max_label=20)
    assert set(dataset[0].label_map.ravel().tolist()) == {0, 2, 20}
    union = StillFolder(tmp_path, images="JPEGImages/VOC", masks="Annotations/VOC")
    np.testing.assert_array_equal(union[0].label_map, label_map(2, 20, 255) > 0)


def test_empty_masks_are_left_out_on_request(tmp_path, caplog):
    write_images(tmp_path, ["1", "2", "3"])
    for name, level in (("1", 0), ("2", 255), ("3", 90)):
        write_gray(tmp_path / f"{name}.png", ramp(level))
    with caplog.at_level(logging.INFO):
        assert [still.name for still in StillFolder(tmp_path, skip_empty=True)] == ["2"]
    assert "2 empty masks" in caplog.text
    assert len(StillFolder(tmp_path)) == 3


def test_broken_stills_are_named(tmp_path):
    write_images(tmp_path, ["1", "2", "3"])
    write_gray(tmp_path / "1.png", np.zeros((24, 31)))
    write_gray(tmp_path / "2.png", ramp(1))
    write_gray(tmp_path / "3.png", ramp(255))
    (tmp_path / "3.png").write_bytes((tmp_path / "3.png").read_bytes()[:-9])
    dataset = StillFolder(tmp_path, name="duts")
    with pytest.raises(DatasetError, match=r"1\.png: mask is 24x31 but image '1' of duts is 24x32"):
        dataset[0]
    with pytest.raises(DatasetError, match=r"2\.png: the mask holds only 0 and 1 .*multi_object=true"):
        dataset[1]
    with pytest.raises(DatasetError, match=r"3\.png: the mask cannot be decoded"):
        dataset[2]


def test_a_folder_without_pairs_is_named(tmp_path):
    write_images(tmp_path, ["1", "2"])
    with pytest.raises(DatasetError, match="none of its 2 images has a mask of the same name among the 0"):
        StillFolder(tmp_path)


@pytest.fixture
def coco_folder(tmp_path):
    """One image with a polygon square, a smaller one on top of it as run lengths, a crowd and a speck; one without objects."""
    write_images(tmp_path / "train2017", ["000000000001", "000000000002"], size=(60, 80))
    small = np.zeros((60, 80), np.uint8, order="F")
    small[20:45, 20:45] = 1
    compressed = rle.encode(small)
    compressed["counts"] = compressed["counts"].decode()
    runs = np.diff(np.flatnonzero(np.diff(small.ravel(order="F"), prepend=0, append=1)), prepend=0)
    square = [[10, 10, 50, 10, 50, 50, 10, 50]]
    items = [
        (1, square, 1600, 0),
        (1, {"size": [60, 80], "counts": compressed["counts"]}, 625, 0),
        (1, {"size": [60, 80], "counts": runs.tolist()}, 4000, 1),
        (1, [[0, 0, 5, 0, 5, 5]], 12, 0),
        (2, [[0, 0, 9, 0, 9, 9]], 40, 0),
    ]
    content = {
        "images": [{"id": key, "file_name": f"{key:012d}.jpg", "height": 60, "width": 80} for key in (1, 2)],
        "annotations": [{"image_id": i, "segmentation": s, "area": a, "iscrowd": c} for i, s, a, c in items],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/instances_train2017.json").write_text(json.dumps(content))
    return tmp_path


def test_coco_paints_small_objects_over_large_ones_and_skips_crowds_and_specks(coco_folder):
    dataset = CocoStills(coco_folder)
    expected = np.zeros((60, 80), np.uint8)
    expected[10:50, 10:50] = 1
    expected[20:45, 20:45] = 2
    assert [still.name for still in dataset] == ["000000000001"]
    np.testing.assert_array_equal(dataset[0].label_map, expected)


def test_coco_gives_a_crowd_to_nobody_where_that_is_asked_for(coco_folder):
    path = coco_folder / "annotations/instances_train2017.json"
    content = json.loads(path.read_text())
    content["annotations"][2]["segmentation"] = [[0, 0, 30, 0, 30, 30, 0, 30]]
    path.write_text(json.dumps(content))
    label_map = CocoStills(coco_folder, ignore_crowds=True)[0].label_map
    assert [label_map[place] for place in ((5, 5), (12, 12), (22, 22), (55, 55))] == [255, 1, 2, 0]
    assert 255 not in CocoStills(coco_folder)[0].label_map


def test_coco_limits_the_area_of_objects(coco_folder):
    assert CocoStills(coco_folder, min_area=700)[0].label_map.max() == 1
    assert CocoStills(coco_folder, max_area_share=0.2)[0].label_map[12, 12] == 0
    with pytest.raises(DatasetError, match="no image holds an object of 5000 pixels"):
        CocoStills(coco_folder, min_area=5000)


def test_coco_reads_run_lengths_that_are_not_compressed(coco_folder):
    path = coco_folder / "annotations/instances_train2017.json"
    content = json.loads(path.read_text())
    content["annotations"] = [dict(content["annotations"][2], iscrowd=0)]
    path.write_text(json.dumps(content))
    label_map = CocoStills(coco_folder)[0].label_map
    assert label_map[20:45, 20:45].all()
    assert label_map.sum() == 625


def test_coco_names_what_is_missing(coco_folder, tmp_path):
    with pytest.raises(DatasetError, match="val2017: the folder of images is missing"):
        CocoStills(coco_folder, split="val2017")
    (coco_folder / "annotations/instances_train2017.json").write_text("{")
    with pytest.raises(DatasetError, match=r"instances_train2017\.json: is not valid JSON"):
        CocoStills(coco_folder)
