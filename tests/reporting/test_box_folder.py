"""Boxes and masks as COCO has them, read back with COCO's own tools."""

import numpy as np
from pycocotools.coco import COCO

from vosbench.reporting.box_folder import BoxFolder


def label_map(object_id: int) -> np.ndarray:
    made = np.zeros((20, 30), np.uint8)
    made[5:9, 3:13] = object_id
    return made


def test_coco_reads_what_was_written(tmp_path):
    folder = BoxFolder(tmp_path / "boxes")
    both = label_map(4)
    both[15:, 20:] = 9
    folder.add("00000", both, {4: (3.0, 5.0, 13.25, 9.0), 9: None})
    folder.add("00005", label_map(9), {4: None, 9: (0.0, 0.0, 30.0, 20.0)})
    folder.add("00010", label_map(0), {4: None, 9: None})

    path = folder.close("judo")

    assert path == tmp_path / "boxes" / "judo.json"
    coco = COCO(str(path))
    assert [coco.imgs[number]["file_name"] for number in sorted(coco.imgs)] == ["00000", "00005", "00010"]
    assert (coco.imgs[1]["height"], coco.imgs[1]["width"]) == (20, 30)
    first, second = (coco.loadAnns(coco.getAnnIds(imgIds=[number])) for number in (1, 2))
    assert [(item["object_id"], item["bbox"], item["area"]) for item in first] == [(4, [3.0, 5.0, 10.25, 4.0], 40)]
    assert [(item["object_id"], item["bbox"]) for item in second] == [(9, [0.0, 0.0, 30.0, 20.0])]
    assert coco.getAnnIds(imgIds=[3]) == []
    assert np.array_equal(coco.annToMask(first[0]), label_map(4) == 4)


def test_the_next_sequence_begins_anew(tmp_path):
    folder = BoxFolder(tmp_path)
    for name in ("one", "two"):
        folder.add("0", label_map(1), {1: (3.0, 5.0, 13.0, 9.0)})
        folder.close(name)
    coco = COCO(str(tmp_path / "two.json"))
    assert (len(coco.imgs), len(coco.anns), coco.dataset["info"]["description"]) == (1, 1, "two")


def test_a_method_without_boxes_leaves_no_file(tmp_path):
    folder = BoxFolder(tmp_path / "boxes")
    folder.add("0", label_map(1), {})
    assert folder.close("one") is None
    assert not (tmp_path / "boxes").exists()
