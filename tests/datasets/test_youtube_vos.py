"""YouTube-VOS on disk: objects that start late, the bad first frames, categories, and the two densities of frames."""

import json
import logging

import pytest

from tests.datasets.tiny import write_images, write_masks
from vosbench.datasets.youtube_vos import YouTubeVOS
from vosbench.errors import ConfigError, DatasetError

STEPS = ["00000", "00005", "00010"]


def meta(**videos):
    return json.dumps({"videos": {name: {"objects": objects} for name, objects in videos.items()}})


@pytest.fixture
def youtube_folder(tmp_path):
    """Two training videos, one of validation whose second object enters at 00005."""
    root = tmp_path / "YouTubeVOS"
    for name in ("aaaa", "5937b08d69"):
        write_images(root / "train/JPEGImages" / name, STEPS)
        write_masks(root / "train/Annotations" / name, {"00000": (2,), "00005": (2, 4), "00010": (2, 4)})
    (root / "train/meta.json").write_text(
        meta(
            aaaa={"4": {"category": "zebra", "frames": STEPS}, "2": {"category": "ape", "frames": STEPS}},
            **{"5937b08d69": {"2": {"category": "ape", "frames": STEPS}, "4": {"category": "owl", "frames": STEPS}}},
        )
    )
    write_images(root / "valid/JPEGImages/vvvv", STEPS)
    write_images(root / "valid_all_frames/JPEGImages/vvvv", [f"{number:05d}" for number in range(11)])
    write_masks(root / "valid/Annotations/vvvv", {"00000": (1,), "00005": (6,)})
    (root / "valid/meta.json").write_text(meta(vvvv={"1": {"frames": STEPS}, "6": {"frames": STEPS[1:]}}))
    return root


def starts(sequence):
    return {item.object_id: sequence.frames.names[item.first_frame] for item in sequence.objects}


def test_an_object_starts_at_the_first_listed_frame_that_shows_it(youtube_folder):
    dataset = YouTubeVOS(youtube_folder, split="train")
    assert starts(dataset[0]) == {2: "00000", 4: "00005"}
    assert {item.object_id: item.category for item in dataset[0].objects} == {2: "ape", 4: "zebra"}
    assert (dataset.name, dataset.protocol, dataset.annotation_step) == ("youtube_vos/train", "ytvos", 5)


def test_known_bad_first_frames_are_passed_over_even_if_the_label_is_there(youtube_folder):
    write_masks(youtube_folder / "train/Annotations/5937b08d69", {"00000": (2, 4)})
    write_masks(youtube_folder / "train/Annotations/aaaa", {"00000": (2, 4)})
    dataset = YouTubeVOS(youtube_folder, split="train")
    assert starts(dataset[0]) == {2: "00000", 4: "00000"}
    assert starts(dataset[1]) == {2: "00000", 4: "00005"}


def test_an_object_that_is_never_there_is_left_out_and_reported(youtube_folder, caplog):
    write_masks(youtube_folder / "train/Annotations/aaaa", dict.fromkeys(STEPS, (2,)))
    with caplog.at_level(logging.WARNING):
        assert starts(YouTubeVOS(youtube_folder, split="train")[0]) == {2: "00000"}
    assert "object 4 of meta.json is in none of its masks" in caplog.text


@pytest.mark.parametrize("place", ["valid_all_frames", "all_frames/valid_all_frames"])
def test_all_frames_keep_the_late_objects_prompts(youtube_folder, place):
    (youtube_folder / place).parent.mkdir(exist_ok=True)
    (youtube_folder / "valid_all_frames").rename(youtube_folder / place)
    dense = YouTubeVOS(youtube_folder, split="valid", all_frames=True)[0]
    assert len(dense.frames) == 11
    assert list(dense.label_maps) == [0, 5]
    assert [(item.object_id, item.first_frame) for item in dense.objects] == [(1, 0), (6, 5)]
    assert sorted(dense.prompts(5)) == [6]


def test_seen_categories_are_those_of_the_training_set(youtube_folder):
    assert YouTubeVOS(youtube_folder, split="valid").categories_seen == {"ape", "owl", "zebra"}


def test_a_subset_and_a_hold_out_choose_videos(youtube_folder, tmp_path):
    (tmp_path / "subset.txt").write_text("aaaa\n")
    assert YouTubeVOS(youtube_folder, split="train", subset=tmp_path / "subset.txt").sequences == ["aaaa"]
    assert YouTubeVOS(youtube_folder, split="train", exclude=["aaaa"]).sequences == ["5937b08d69"]
    (tmp_path / "subset.txt").write_text("aaab\n")
    with pytest.raises(ConfigError, match="did you mean 'aaaa'"):
        YouTubeVOS(youtube_folder, split="train", subset=str(tmp_path / "subset.txt"))


def test_missing_masks_and_meta_files_are_named(youtube_folder):
    (youtube_folder / "valid/Annotations/vvvv/00005.png").unlink()
    with pytest.raises(DatasetError, match=r"vvvv/00005\.png: the mask of sequence 'vvvv', frame '00005', where .* object 6"):
        YouTubeVOS(youtube_folder, split="valid")[0].objects  # noqa: B018
    (youtube_folder / "valid/meta.json").write_text("[]")
    with pytest.raises(DatasetError, match=r"valid/meta\.json: is not a list of videos"):
        YouTubeVOS(youtube_folder, split="valid")
    (youtube_folder / "valid/meta.json").unlink()
    with pytest.raises(DatasetError, match=r"valid/meta\.json: the list of videos and objects cannot be read"):
        YouTubeVOS(youtube_folder, split="valid")
    with pytest.raises(DatasetError, match=r"train_all_frames/JPEGImages: the folder of all frames is missing"):
        YouTubeVOS(youtube_folder, split="train", all_frames=True)
