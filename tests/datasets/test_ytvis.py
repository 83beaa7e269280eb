"""OVIS, UVO and YouTube-VIS as VOS data: instances of a video become label maps, and who enters when."""

import json

import numpy as np
import pytest
from pycocotools import mask as rle

from tests.datasets.tiny import write_images
from vosbench.clips.frame_choice import UniformGaps
from vosbench.clips.geometry import ScaledCrop
from vosbench.clips.object_choice import ObjectChoice
from vosbench.clips.transform import VideoTransform
from vosbench.clips.video_clips import VideoClips
from vosbench.datasets.dataset import VideoDataset
from vosbench.datasets.mixture import Mixture
from vosbench.datasets.ytvis import YouTubeVIS
from vosbench.errors import ConfigError, DatasetError

SIZE = (24, 32)
FRAMES = ["img_0000002", "img_0000010", "img_0000011"]


def block(rows: slice, columns: slice, size: tuple[int, int] = SIZE) -> np.ndarray:
    mask = np.zeros(size, np.uint8, order="F")
    mask[rows, columns] = 1
    return mask


def compressed(mask: np.ndarray) -> dict:
    code = rle.encode(mask)
    return {"size": code["size"], "counts": code["counts"].decode()}


def run_lengths(mask: np.ndarray) -> dict:
    """Not compressed: column by column, the first run counts zeros."""
    flat = mask.ravel(order="F")
    ends = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *ends, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *runs] if flat[0] else runs}


BIG, SMALL = block(slice(2, 20), slice(4, 20)), block(slice(6, 12), slice(8, 14))
POLYGON = [[22.0, 2.0, 30.0, 2.0, 30.0, 10.0, 22.0, 10.0]]


def annotation(video_id, segmentations, category_id=1, iscrowd=0):
    return {"video_id": video_id, "segmentations": segmentations, "category_id": category_id, "iscrowd": iscrowd}


def written(root, videos, annotations):
    content = {
        "videos": [
            {"id": key, "file_names": [f"{name}/{frame}.jpg" for frame in FRAMES], "height": 24, "width": 32, "length": 3}
            for key, name in videos.items()
        ],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    root.mkdir(exist_ok=True)
    (root / "annotations_train.json").write_text(json.dumps(content))
    for name in videos.values():
        write_images(root / "train" / name, [*FRAMES, "img_0000000"])


@pytest.fixture
def vis_folder(tmp_path):
    """`pair`: an object that a later one hides, as run lengths of both kinds, a polygon, and a crowd; `once`: one mask only."""
    root = tmp_path / "vis"
    annotations = [
        annotation(7, [None, compressed(SMALL), compressed(BIG)], category_id=2),
        annotation(7, [None, run_lengths(BIG), run_lengths(SMALL)]),
        annotation(7, [compressed(block(slice(0, 24), slice(0, 32)))] * 3, iscrowd=1),
        annotation(7, [None, None, POLYGON]),
        annotation(9, [None, POLYGON, None]),
    ]
    written(root, {7: "pair", 9: "once"}, annotations)
    return root


def opened(root, **changes):
    return YouTubeVIS(root, **{"annotations": "annotations_train.json", "images": "train", "name": "ovis/train", **changes})


def test_every_listed_frame_has_a_label_map_with_later_objects_on_top(vis_folder):
    sequence = opened(vis_folder)[0]
    last = np.where(SMALL, 2, np.where(BIG, 1, 0))
    last[2:10, 22:30] = 3
    assert sequence.frames.names == FRAMES
    assert sorted(sequence.label_maps) == [0, 1, 2]
    assert not sequence.label_maps[0].any()
    np.testing.assert_array_equal(sequence.label_maps[1], np.where(BIG, 2, 0))
    np.testing.assert_array_equal(sequence.label_maps[2], last)


def test_an_object_starts_at_the_first_frame_that_shows_it(vis_folder):
    sequence = opened(vis_folder)[0]
    starts = [(item.object_id, item.first_frame, item.category) for item in sequence.objects]
    assert starts == [(1, 2, "dog"), (2, 1, "cat"), (3, 2, "cat")]  # object 1 is hidden in frame 1
    assert sorted(sequence.prompts(2)) == [1, 3]
    assert (sequence.name, sequence.size, sequence.frames[0].shape) == ("pair", SIZE, (*SIZE, 3))


def test_videos_in_which_nothing_can_be_followed_are_left_out(vis_folder):
    dataset = opened(vis_folder)
    assert isinstance(dataset, VideoDataset)
    assert dataset.sequences == ["pair"]
    assert dataset.categories_seen == {"cat", "dog"}
    with pytest.raises(ConfigError, match="there is no sequence 'once'"):
        opened(vis_folder, exclude=["once"])


def test_training_clips_are_drawn_from_a_mixture_of_such_sets(vis_folder):
    both = Mixture([opened(vis_folder), opened(vis_folder, name="uvo/train_dense")], [1, 1])
    clips = VideoClips(
        both,
        3,
        frames=UniformGaps(),
        max_skip=[[0.0, 3]],
        objects=ObjectChoice(3),
        transform=VideoTransform(24, [ScaledCrop(scale=[1.0, 1.0])]),
        min_reference_area=1,
    )
    sample = clips.draw(0, 0, 0, 0.0)
    assert sample.num_objects >= 1
    assert sample.label_map.shape == (3, 24, 24)


def test_more_objects_than_a_label_map_holds_are_refused(vis_folder):
    many = [annotation(7, [POLYGON] * 3) for _ in range(255)]
    written(vis_folder, {7: "pair"}, many[1:])
    assert opened(vis_folder)[0].label_maps[0].max() == 254
    written(vis_folder, {7: "pair"}, many)
    with pytest.raises(DatasetError, match="sequence 'pair' has 255 objects, but a label map holds 254"):
        opened(vis_folder)


def test_a_mask_of_another_size_than_its_frame_is_refused(vis_folder):
    other_size = compressed(block(slice(0, 5), slice(0, 5), (24, 40)))
    written(vis_folder, {7: "pair"}, [annotation(7, [POLYGON, other_size, POLYGON])])
    with pytest.raises(DatasetError, match=r"'pair', frame 'img_0000010': a mask .* is 24x40 but the image is 24x32"):
        opened(vis_folder)[0].label_maps[1]


def test_what_does_not_fit_is_named(vis_folder):
    (vis_folder / "train/pair/img_0000011.jpg").unlink()
    with pytest.raises(DatasetError, match=r"img_0000011\.jpg"):
        opened(vis_folder)[0].frames[2]
    (vis_folder / "train/pair").rename(vis_folder / "train/pear")
    with pytest.raises(DatasetError, match=r"train/pair: the folder with the frames of sequence 'pair' of ovis/train is missing"):
        opened(vis_folder)
    written(vis_folder, {7: "pair", 9: "pair"}, [annotation(key, [POLYGON] * 3) for key in (7, 9)])
    with pytest.raises(DatasetError, match="two videos have their frames in a folder 'pair'"):
        opened(vis_folder)
    written(vis_folder, {7: "pair"}, [annotation(7, [POLYGON] * 2)])
    with pytest.raises(DatasetError, match=r"'pair' has 2 masks \(or nulls\) for 3 frames"):
        opened(vis_folder)
    written(vis_folder, {7: "pair"}, None)
    with pytest.raises(DatasetError, match="only the training splits of these sets are published with masks"):
        opened(vis_folder)
    (vis_folder / "annotations_train.json").write_text('{"images": [], "annotations": []}')
    with pytest.raises(DatasetError, match="lacks 'videos' or 'annotations'"):
        opened(vis_folder)
