"""Folders of own videos, BL30K's parts, and data sets mixed into one."""

import cv2
import numpy as np
import pytest

from tests.datasets.tiny import write_images, write_masks
from tests.shared import SHARED, needs_shared
from vosbench.datasets.bl30k import BL30K
from vosbench.datasets.davis import Davis
from vosbench.datasets.folder import VideoFolder
from vosbench.datasets.mixture import Mixture
from vosbench.errors import ConfigError, DatasetError

FRAMES = ["0", "1", "2", "10"]


def starts(sequence):
    return {item.object_id: item.first_frame for item in sequence.objects}


@pytest.fixture
def root(tmp_path):
    write_images(tmp_path / "own/images/cat", FRAMES)
    write_masks(tmp_path / "own/masks/cat", {"0": (1,), "10": (3,)})
    write_images(tmp_path / "own/images/dog", FRAMES)
    write_masks(tmp_path / "own/masks/dog", {"1": (2,), "2": (2, 5)})
    return tmp_path / "own"


def test_objects_enter_with_the_first_mask_that_holds_them(root):
    dataset = VideoFolder(root)
    assert [sequence.name for sequence in dataset] == ["cat", "dog"]
    assert [starts(sequence) for sequence in dataset] == [{1: 0, 3: 3}, {2: 1, 5: 2}]
    assert (dataset.protocol, dataset.annotation_step, dataset.categories_seen) == ("generic", 1, frozenset())


def test_two_folders_of_files_are_one_sequence_named_after_the_root(root):
    for kind in ("images", "masks"):
        for item in (root / kind / "cat").iterdir():
            item.rename(root / kind / item.name)
        (root / kind / "cat").rmdir()
    assert [(sequence.name, starts(sequence)) for sequence in VideoFolder(root)] == [("own", {1: 0, 3: 3})]


def test_sequences_are_chosen_by_list_and_by_file(root, tmp_path):
    (tmp_path / "split.txt").write_text("dog\n")
    assert VideoFolder(root, split=tmp_path / "split.txt").sequences == ["dog"]
    assert VideoFolder(root, exclude=["dog"]).sequences == ["cat"]
    assert VideoFolder(root, split=str(tmp_path / "split.txt"), sequences=["cat"]).sequences == ["cat"]


def test_a_video_file_can_stand_in_place_of_images(root):
    writer = cv2.VideoWriter(str(root / "images/fly.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (32, 24))
    for number in range(5):
        writer.write(np.full((24, 32, 3), 40 * number, np.uint8))
    writer.release()
    write_masks(root / "masks/fly", {"00002": (7,)})
    fly = VideoFolder(root, sequences=["fly"])[0]
    assert (starts(fly), len(fly.frames), fly.size) == ({7: 2}, 5, (24, 32))


def test_0_255_masks_become_object_1_on_request(root):
    write_masks(root / "masks/cat", {"0": (255,), "10": (255,)})
    assert starts(VideoFolder(root, single_object=True)[0]) == {1: 0}
    assert starts(VideoFolder(root)[0]) == {255: 0}


def test_missing_folders_and_empty_masks_are_named(root):
    with pytest.raises(DatasetError, match=r"pictures: the folder of images is missing; set data\.root and data\.images"):
        VideoFolder(root, images="pictures")
    write_masks(root / "masks/cat", {"0": (), "10": ()})
    with pytest.raises(DatasetError, match="none of the 2 masks of sequence 'cat' holds an object"):
        VideoFolder(root)[0].objects  # noqa: B018
    (root / "masks/dog").rename(root / "masks/other")
    with pytest.raises(DatasetError, match=r"masks/dog: this folder of sequence 'dog' of folder is missing"):
        VideoFolder(root)


def test_a_file_of_boxes_says_where_objects_are_given_and_masks_stay_with_the_scorer(root):
    (root / "Boxes").mkdir()
    (root / "Boxes/cat.csv").write_text("frame,object,x0,y0,x1,y1\n10,1,2,3,8,9\n10,6,4,4,9,9\n0,6,1,2,5,6\n")
    write_masks(root / "masks/cat", {"0": (1,), "10": (1,)})
    cat = VideoFolder(root)[0]
    places = {name: place for place, name in enumerate(cat.frames.names)}
    assert starts(cat) == {1: places["10"], 6: places["0"]}
    assert cat.box_prompts(places["10"]) == {1: (2.0, 3.0, 8.0, 9.0)}
    # to a method that takes masks, the mask; the box only where there is none
    assert cat.prompts(places["10"])[1].dtype == bool
    assert cat.prompts(places["0"]) == {6: (1.0, 2.0, 5.0, 6.0)}


def test_objects_without_a_drawn_box_have_that_of_their_mask(root):
    (root / "boxes").mkdir()
    (root / "boxes/cat.json").write_text('[{"frame": 0, "object": 1, "box": [1, 2, 5.5, 6]}]')
    write_masks(root / "masks/cat", {"0": (1, 2), "10": (1, 2)})
    cat = VideoFolder(root)[0]
    assert starts(cat) == {1: 0, 2: 0}
    boxes = cat.box_prompts(0)
    assert boxes[1] == (1.0, 2.0, 5.5, 6.0)
    rows, columns = cat.prompts(0)[2].nonzero()
    assert boxes[2] == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_without_a_file_of_boxes_they_are_those_of_the_masks(root):
    write_masks(root / "masks/cat", {"0": (1, 2), "10": (1, 2)})
    cat = VideoFolder(root)[0]
    boxes, masks = cat.box_prompts(0), cat.prompts(0)
    assert boxes.keys() == masks.keys() == {1, 2}
    for object_id, (x0, y0, x1, y1) in boxes.items():
        rows, columns = masks[object_id].nonzero()
        assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (x0, y0, x1, y1)


def test_a_broken_file_of_boxes_is_an_error_of_the_data_set(root):
    (root / "drawn").mkdir()
    (root / "drawn/cat.json").write_text("[]")
    with pytest.raises(DatasetError, match=r"cat\.json: holds no box"):
        VideoFolder(root, boxes="drawn")[0]
    with pytest.raises(DatasetError, match=r"nowhere: the folder of boxes is missing; set data\.root and data\.boxes"):
        VideoFolder(root, boxes="nowhere")


def test_objects_are_looked_up_once(root):
    cat = VideoFolder(root)[0]
    first = cat.objects
    (root / "masks/cat/0.png").unlink()
    assert cat.objects is first


@needs_shared("data/demo")
def test_the_four_objects_of_judo_enter_at_frames_0_5_8_and_13():
    judo = VideoFolder(SHARED / "data/demo", sequences=["judo"])[0]
    assert starts(judo) == {1: 0, 2: 5, 3: 8, 4: 13}
    assert list(judo.prompts(8)) == [3]
    assert judo.prompts(1) == {}


@needs_shared("data/demo")
def test_44_objects_of_a_street_are_all_given_in_its_first_frame():
    street = VideoFolder(SHARED / "data/demo", sequences=["street-44-objects"])[0]
    assert starts(street) == dict.fromkeys(range(1, 45), 0)
    assert (street.frames.names[0], street.size) == ("00002058", (480, 853))


@pytest.mark.parametrize("parts", [[""], ["a", "b"], ["BL30K_a/BL30K", "BL30K_b/BL30K"]])
def test_bl30k_is_found_whole_or_in_parts(tmp_path, parts):
    for number, part in enumerate(parts):
        write_images(tmp_path / part / f"JPEGImages/video{number}", FRAMES)
        write_masks(tmp_path / part / f"Annotations/video{number}", dict.fromkeys(FRAMES, (1, 2)))
    dataset = BL30K(tmp_path)
    assert [sequence.name for sequence in dataset] == [f"video{number}" for number in range(len(parts))]
    assert starts(dataset[0]) == {1: 0, 2: 0}


def test_bl30k_names_an_empty_root(tmp_path):
    with pytest.raises(DatasetError, match=r"holds neither JPEGImages nor parts with one; set data\.bl30k_root"):
        BL30K(tmp_path)


def test_a_mixture_repeats_its_parts(root):
    one, two = VideoFolder(root, name="a", sequences=["cat"]), VideoFolder(root, name="b", sequences=["dog", "cat"])
    mixture = Mixture([one, two], [3, 2])
    assert [sequence.name for sequence in mixture] == ["cat", "cat", "cat", "dog", "cat", "dog", "cat"]
    assert (len(mixture), mixture.name, mixture.protocol, mixture.annotation_step) == (7, "a+b", "generic", 1)


def test_a_mixture_of_different_annotation_steps_tells_them_per_item(root):
    one, two = VideoFolder(root, name="a", sequences=["cat"]), VideoFolder(root, name="b", annotation_step=5)
    mixture = Mixture([one, two], [2, 1])
    assert [mixture.annotation_step_of(index) for index in range(4)] == [1, 1, 5, 5]
    with pytest.raises(ConfigError, match="annotation_step differs, a has 1, b has 5"):
        mixture.annotation_step  # noqa: B018


def test_a_mixture_wants_one_positive_number_per_part(root):
    with pytest.raises(ConfigError, match="one number for each of the 1 data sets"):
        Mixture([VideoFolder(root)], [1, 2])
    with pytest.raises(ConfigError, match="numbers from 1 on"):
        Mixture([VideoFolder(root)], [0])


@needs_shared("data/davis16-240p")
def test_a_mixture_unites_what_its_parts_say():
    dataset = Davis(SHARED / "data/davis16-240p", year=2016, split="train", resolution="240p")
    assert Mixture([dataset, dataset], [1, 1]).categories_seen == frozenset()
