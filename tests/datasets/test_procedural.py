"""The procedural set as a data set: pure in (seed, index, t), honest in its labels, true to its knobs."""

import hashlib
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from vosbench.datasets.procedural import SEEN, UNSEEN, ProceduralStills, ProceduralVideos
from vosbench.datasets.procedural_knobs import Knobs
from vosbench.errors import ConfigError

CONF = Path(__file__).resolve().parents[2] / "conf" / "data" / "procedural.yaml"

# Nothing moves, hides or disturbs: the ground on which one knob at a time is turned.
CALM = {
    "objects": [1, 1],
    "clutter": [0, 0],
    "lookalike_objects": 0.0,
    "lookalike_distractors": 0.0,
    "occluders": 0.0,
    "excursions": 0.0,
    "late": 0.0,
    "size": [0.25, 0.35],
    "speed": [0.0, 0.0],
    "deformation": 0.0,
    "spin": 0.0,
    "camera": 0.0,
    "light": 0.0,
    "grain": 0.0,
}


def videos(**changes) -> ProceduralVideos:
    """Six short sequences of the calm kind, with some knobs turned."""
    return ProceduralVideos("val", size=96, length=24, count=6, seed=3, knobs=Knobs(**{**CALM, **changes}), with_attributes=True)


def all_objects(dataset: ProceduralVideos) -> list:
    return [item for index in range(len(dataset)) for item in dataset[index].objects]


def share_with(dataset: ProceduralVideos, attribute: str) -> float:
    return float(np.mean([attribute in item.attributes for item in all_objects(dataset)]))


def overlap_of_neighbours(dataset: ProceduralVideos) -> float:
    """Mean intersection over union of the foreground of frames 0 and 1."""
    pairs = [(dataset[index].label_maps[0] > 0, dataset[index].label_maps[1] > 0) for index in range(len(dataset))]
    return float(np.mean([(first & second).sum() / (first | second).sum() for first, second in pairs]))


def test_a_sequence_is_the_same_in_another_process():
    code = (
        "import hashlib; from vosbench.datasets.procedural import ProceduralVideos as V;"
        "s = V('val', size=64, length=16, count=9, seed=5)[7];"
        "print(hashlib.sha256(b''.join(s.frames[t].tobytes() + s.label_maps[t].tobytes() for t in range(16))).hexdigest())"
    )

    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()

    here = ProceduralVideos("val", size=64, length=16, count=9, seed=5)[7]
    data = b"".join(here.frames[t].tobytes() + here.label_maps[t].tobytes() for t in range(16))
    assert hashlib.sha256(data).hexdigest() == there


@settings(max_examples=8)
@given(index=st.integers(0, 50), t=st.integers(0, 19))
def test_a_frame_drawn_alone_equals_the_same_frame_drawn_after_all_others(index, t):
    dataset = ProceduralVideos("train", size=64, length=20, count=51, seed=1)
    walked, jumped = dataset[index], dataset[index]

    images = [(walked.frames[k], walked.label_maps[k]) for k in range(20)]

    np.testing.assert_array_equal(jumped.label_maps[t], images[t][1])
    np.testing.assert_array_equal(jumped.frames[t], images[t][0])


@settings(max_examples=12)
@given(index=st.integers(0, 300))
def test_a_prompt_shows_its_object_and_no_label_map_shows_it_before(index):
    dataset = ProceduralVideos(
        "train", size=128, length=24, count=301, seed=2, knobs=Knobs(objects=[1, 5], late=0.6, occluders=0.8)
    )

    sequence = dataset[index]

    ids = [item.object_id for item in sequence.objects]
    assert ids == list(range(1, len(ids) + 1))
    assert sequence.objects[0].first_frame == 0
    for item in sequence.objects:
        earlier = [np.count_nonzero(sequence.label_maps[t] == item.object_id) for t in range(item.first_frame)]
        assert sum(earlier) == 0
        assert sequence.prompts(item.first_frame)[item.object_id].sum() >= 30
    assert set(np.unique([sequence.label_maps[t] for t in range(24)])) <= {0, *ids}


def test_training_shows_seen_families_alone_and_validation_as_many_unseen_ones():
    train = ProceduralVideos("train", size=64, length=16, count=60, seed=0, knobs=Knobs(lookalike_objects=0.0, size=[0.2, 0.4]))
    val = ProceduralVideos("val", size=64, length=16, count=60, seed=0, knobs=Knobs(lookalike_objects=0.0, size=[0.2, 0.4]))

    trained = {item.category for item in all_objects(train)}
    validated = [item.category for item in all_objects(val)]

    assert trained == set(SEEN) == val.categories_seen
    assert set(validated) == set(SEEN) | set(UNSEEN)
    assert 0.4 < np.mean([category in UNSEEN for category in validated]) < 0.6


def test_train_val_and_stills_of_one_seed_share_no_picture():
    train = ProceduralVideos("train", size=64, length=16, seed=4, knobs=Knobs(size=[0.2, 0.4]))[0].frames[0]
    val = ProceduralVideos("val", size=64, length=16, seed=4, knobs=Knobs(size=[0.2, 0.4]))[0].frames[0]
    still = ProceduralStills(size=64, seed=4, knobs=Knobs(size=[0.2, 0.4]))[0].image

    assert not np.array_equal(train, val)
    assert not np.array_equal(train, still)
    assert not np.array_equal(val, still)


def test_sequences_and_seeds_differ():
    images = [
        ProceduralVideos(size=64, seed=seed, knobs=Knobs(size=[0.2, 0.4]))[index].frames[0] for seed in (0, 1) for index in (0, 1)
    ]

    assert len({image.tobytes() for image in images}) == 4


def test_frames_may_be_oblong_and_names_count_from_zero():
    sequence = ProceduralVideos("val", size=[72, 120], length=13, count=3, seed=0, knobs=Knobs(size=[0.2, 0.4]))[1]

    assert sequence.name == "procedural-val-0001"
    assert sequence.size == (72, 120)
    assert sequence.frames.names == [f"{t:05d}" for t in range(13)]
    assert sequence.frames[12].shape == (72, 120, 3)
    assert sequence.label_maps[12].shape == (72, 120)
    assert list(sequence.label_maps) == list(range(13))


def test_places_past_the_end_are_refused_so_that_loops_end():
    dataset = videos()

    assert len(list(dataset)) == 6
    with pytest.raises(IndexError):
        dataset[6]
    with pytest.raises(IndexError):
        dataset[0].frames[24]
    with pytest.raises(KeyError):
        dataset[0].label_maps[24]


def test_a_data_set_and_its_sequences_travel_to_workers():
    dataset = ProceduralVideos("val", size=64, length=16, count=3, seed=0, knobs=Knobs(size=[0.2, 0.4]))

    copy = pickle.loads(pickle.dumps(dataset))
    sequence = pickle.loads(pickle.dumps(dataset[2]))

    np.testing.assert_array_equal(copy[2].frames[9], dataset[2].frames[9])
    np.testing.assert_array_equal(sequence.frames[9], dataset[2].frames[9])


def test_with_everything_off_a_video_stands_still():
    sequence = videos()[0]

    np.testing.assert_array_equal(sequence.frames[0], sequence.frames[23])
    np.testing.assert_array_equal(sequence.label_maps[0], sequence.label_maps[23])


@pytest.mark.parametrize("knob", [{"speed": [0.03, 0.03]}, {"deformation": 0.2}, {"spin": 10.0}, {"camera": 1.0}])
def test_each_knob_of_motion_moves_the_masks(knob):
    assert overlap_of_neighbours(videos()) == 1.0
    assert overlap_of_neighbours(videos(**knob)) < 0.995


def test_more_speed_means_less_overlap():
    assert overlap_of_neighbours(videos(speed=[0.05, 0.05])) < overlap_of_neighbours(videos(speed=[0.02, 0.02])) < 1.0


def test_grain_changes_the_picture_and_not_the_labels():
    sequence = videos(grain=8.0)[0]

    difference = np.abs(sequence.frames[0].astype(int) - sequence.frames[1])
    assert 0 < difference.max() <= 2 * 8
    np.testing.assert_array_equal(sequence.label_maps[0], sequence.label_maps[1])


def test_a_faded_background_varies_less():
    faded, full = videos(background_contrast=0.2)[0], videos(background_contrast=1.0)[0]

    outside = full.label_maps[0] == 0
    assert faded.frames[0][outside].std(axis=0).sum() < 0.4 * full.frames[0][outside].std(axis=0).sum()


def test_the_number_of_objects_stays_in_its_range():
    counts = {len(sequence.objects) for sequence in videos(objects=[2, 4], size=[0.15, 0.2])}

    assert counts <= {2, 3, 4}
    assert len(counts) > 1


def test_diameters_stay_in_their_range():
    dataset = videos(size=[0.3, 0.3])

    whole = [np.count_nonzero(sequence.label_maps[0]) for sequence in dataset]

    # The disc of diameter 0.3 * 96 has 651 pixels; half may lie outside, and filling adds about half a pixel all round.
    assert min(whole) >= 0.5 * 651
    assert max(whole) <= 1.3 * 651


def test_clutter_is_drawn_but_not_annotated():
    calm, cluttered = videos()[0], videos(clutter=[3, 3])[0]

    assert len(cluttered.objects) == 1
    background = (calm.label_maps[0] == 0) & (cluttered.label_maps[0] == 0)
    assert np.any(calm.frames[0][background] != cluttered.frames[0][background])


def test_the_knobs_of_events_bring_the_events_about():
    assert share_with(videos(), "look-alike") == 0.0
    assert share_with(videos(lookalike_distractors=1.0), "look-alike") > 0.8
    assert share_with(videos(objects=[2, 2], lookalike_objects=1.0), "look-alike") > 0.8
    assert share_with(videos(), "re-appearing") == 0.0
    assert share_with(videos(excursions=1.0), "re-appearing") > 0.9
    assert share_with(videos(), "occluded") == 0.0
    assert share_with(videos(occluders=1.0), "occluded") > 0.6
    assert share_with(videos(objects=[3, 3]), "late") == 0.0
    assert share_with(videos(objects=[3, 3], late=1.0), "late") == pytest.approx(2 / 3)


def test_lookalike_objects_are_of_one_family():
    for sequence in videos(objects=[3, 3], lookalike_objects=1.0, size=[0.15, 0.2]):
        assert len({item.category for item in sequence.objects}) == 1


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"split": "test"}, "split='test'"),
        ({"size": 8}, "size=8"),
        ({"size": [64]}, r"size=\[64\]"),
        ({"length": 0}, "length=0"),
        ({"count": -1}, "count=-1"),
        ({"length": 5}, "length=5"),
        ({"size": 32}, "raise the smallest size"),
        ({"families_seen": ["ellipse", "banana"]}, "banana"),
        ({"families_seen": ["ellipse"], "families_unseen": ["ellipse", "star"]}, r"\['ellipse'\] in both"),
        ({"families_seen": []}, "at least one seen family"),
        ({"knobs": Knobs(objects=[0, 3])}, "1 to 255 objects"),
        ({"knobs": Knobs(objects=[1, 256])}, "1 to 255 objects"),
        ({"knobs": Knobs(speed=[0.2, 0.1])}, "speed="),
        ({"knobs": Knobs(late=1.5)}, "late=1.5"),
        ({"knobs": Knobs(camera=-1.0)}, "camera=-1.0"),
        ({"knobs": Knobs(deformation=0.9)}, "deformation=0.9"),
    ],
)
def test_a_request_that_cannot_be_met_is_one_sentence(arguments, names):
    with pytest.raises(ConfigError, match=names):
        ProceduralVideos(**arguments)


def test_more_objects_than_fit_are_refused_by_name():
    dataset = ProceduralVideos("train", size=64, length=16, count=1, knobs=Knobs(objects=[200, 200], size=[0.3, 0.4]))

    with pytest.raises(ConfigError, match=r"procedural-train-0000: no place is left where object \d+"):
        dataset[0]


def test_many_small_objects_fit():
    knobs = Knobs(objects=[40, 40], size=[0.06, 0.06], occluders=0.0)

    sequence = ProceduralVideos("train", size=256, length=16, count=1, knobs=knobs)[0]

    assert len(sequence.objects) == 40


def test_stills_hold_a_picture_and_its_objects():
    stills = ProceduralStills(size=[80, 100], count=4, seed=1, knobs=Knobs(objects=[2, 2], size=[0.2, 0.4], late=1.0))

    still = stills[3]

    assert [item.name for item in stills] == [f"procedural-still-{index:06d}" for index in range(4)]
    assert still.image.shape == (80, 100, 3)
    assert [np.count_nonzero(still.label_map == object_id) >= 30 for object_id in (1, 2)] == [True, True]
    np.testing.assert_array_equal(still.image, stills[3].image)


def test_the_written_configuration_builds_all_four_stages():
    data = instantiate(OmegaConf.load(CONF), _convert_="all")

    assert [type(data[stage]) for stage in ("static", "bl30k", "video", "val")] == [ProceduralStills, *[ProceduralVideos] * 3]
    assert data["val"].categories_seen == frozenset(SEEN)


def test_the_default_validation_split_shows_every_attribute():
    val = instantiate(OmegaConf.load(CONF), _convert_="all")["val"]

    found = [attribute for item in all_objects(val) for attribute in item.attributes]

    counts = {name: found.count(name) for name in ("small", "fast", "occluded", "look-alike", "late", "re-appearing")}
    assert min(counts.values()) >= 3
