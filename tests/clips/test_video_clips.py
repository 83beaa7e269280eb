import logging

import numpy as np
import pytest

from tests.clips.squares import WHOLE, Squares, any_object, cropped, drawn
from vosbench.clips.frame_choice import IterativeFrames, UniformGaps
from vosbench.clips.geometry import AreaCrop
from vosbench.clips.object_choice import ObjectChoice
from vosbench.clips.transform import VideoTransform
from vosbench.clips.video_clips import VideoClips
from vosbench.datasets.mixture import Mixture
from vosbench.errors import ConfigError, DatasetError


def source(dataset, length=3, max_skip=None, **changes):
    arguments = {"frames": IterativeFrames(), "objects": any_object(), "transform": WHOLE} | changes
    return VideoClips(dataset, length, max_skip=max_skip or [[0.0, 5]], **arguments)


def frame_numbers(sample):
    return [int(name) for name in sample.frame_names]


def test_a_sample_is_made_of_the_frames_it_names():
    sample = source(Squares()).draw(1, 0, 0, 0.0)
    places = [np.flatnonzero(np.isin(image, [250]).any(axis=(1, 2)))[0] for image in sample.image]  # top row of object 2
    assert places == [2 + frame for frame in frame_numbers(sample)]
    assert sample.num_objects == 3


def test_labels_and_colours_of_a_sample_belong_together():
    sample = source(Squares(), objects=ObjectChoice(1)).draw(1, 0, 0, 0.0)
    colours = np.unique(sample.image[sample.label_map == 1], axis=0)
    everywhere = (sample.image == colours[0]).all(-1)
    assert len(colours) == 1
    np.testing.assert_array_equal(everywhere, sample.label_map == 1)


@pytest.mark.parametrize(("progress", "largest"), [(0.0, 1), (0.5, 4), (0.99, 2)])
def test_neighbours_lie_as_far_apart_as_the_curriculum_allows_at_that_progress(progress, largest):
    clips = source(Squares(), max_skip=[[0.0, 1], [0.4, 4], [0.9, 2]])
    gaps = {gap for i in range(200) for gap in np.abs(np.diff(frame_numbers(clips.draw(0, 0, i, progress))))}
    assert gaps == set(range(1, largest + 1))


@pytest.mark.parametrize(("annotation_step", "largest"), [(1, 10), (5, 2), (20, 1)])
def test_max_skip_is_divided_by_the_distance_between_annotated_frames(annotation_step, largest):
    clips = source(Squares(lengths=(30,), annotation_step=annotation_step, size=64), max_skip=[[0.0, 10]])
    gaps = [gap for i in range(300) for gap in np.abs(np.diff(frame_numbers(clips.draw(0, 0, i, 0.0))))]
    assert max(gaps) == largest


def test_in_a_mixture_each_video_keeps_the_annotation_step_of_its_data_set():
    every_frame, every_fifth = Squares(lengths=(16,)), Squares(lengths=(61,), annotated=5, annotation_step=5, size=96)
    transform = VideoTransform(32, [AreaCrop(area=[1.0, 1.0], ratio=[1.0, 1.0])])
    clips = source(Mixture([every_frame, every_fifth], [3, 1]), max_skip=[[0.0, 10]], transform=transform)
    samples = [clips.draw(0, 0, i, 0.0) for i in range(400)]
    dense = [np.abs(np.diff(frame_numbers(sample))).max() for sample in samples if max(frame_numbers(sample)) <= 15]
    sparse = [np.abs(np.diff(frame_numbers(sample))).max() for sample in samples if max(frame_numbers(sample)) > 15]
    assert max(dense) <= 10
    assert set(sparse) == {5, 10}  # at most two annotated frames of every fifth


def test_opening_a_large_data_set_looks_no_further_than_the_first_video_that_will_do():
    opened = []

    class Counted(Squares):
        def __getitem__(self, index):
            opened.append(index)
            return super().__getitem__(index)

    source(Counted(lengths=(2, 2, 12, 12, 12)))
    assert opened == [0, 1, 2]


def test_only_annotated_frames_are_chosen():
    clips = source(Squares(lengths=(31,), annotated=5, annotation_step=5, size=64), max_skip=[[0.0, 10]])
    frames = {frame for i in range(100) for frame in frame_numbers(clips.draw(0, 0, i, 0.0))}
    assert frames == {0, 5, 10, 15, 20, 25, 30}


def test_videos_shorter_than_the_clip_are_left_out_and_reported_once(caplog):
    with caplog.at_level(logging.INFO, logger="vosbench.clips.video_clips"):
        clips = source(Squares(lengths=(2, 12, 1, 12)))
        names = {clips.draw(0, 0, i, 0.0).sequence for i in range(50)}
    assert names == {"video1", "video3"}
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("squares: videos with fewer than 3 annotated frames are left out")


def test_a_data_set_of_short_videos_only_is_refused():
    with pytest.raises(ConfigError, match="no video of squares has the 3 annotated frames of a clip, the longest of 2 has 2"):
        source(Squares(lengths=(2, 1)))


class EmptyAtFirst(Squares):
    """Objects only in the last four frames."""

    def __getitem__(self, index):
        sequence = super().__getitem__(index)
        for frame in range(self.lengths[index] - 4):
            sequence.label_maps[frame][:] = 0
        return sequence


def test_a_draw_without_objects_in_its_first_frame_is_repeated():
    patient = source(EmptyAtFirst(), redraws=30)
    once = source(EmptyAtFirst(), redraws=0)
    assert all(patient.draw(0, 0, i, 0.0).num_objects == 3 for i in range(50))
    assert sum(once.draw(0, 0, i, 0.0).num_objects == 0 for i in range(50)) > 10


def test_a_video_without_objects_gives_clips_of_background():
    clips = source(Squares(), objects=ObjectChoice(3, min_area=10_000))
    sample = clips.draw(0, 0, 0, 0.0)
    assert sample.num_objects == 0
    assert not sample.label_map.any()


def test_a_reference_with_more_foreground_is_preferred():
    clips = source(EmptyAtFirst(), frames=UniformGaps(reverse_probability=0.0), min_reference_area=50, redraws=30)
    assert all(frame_numbers(clips.draw(0, 0, i, 0.0))[0] >= 8 for i in range(50))


def test_a_complete_reference_shows_every_later_object():
    clips = source(EmptyAtFirst(lengths=(12,)), complete_reference=True, redraws=60)
    plain = source(EmptyAtFirst(lengths=(12,)), redraws=0)
    incomplete = [min(frame_numbers(plain.draw(0, 0, i, 0.0))) < 8 for i in range(50)]
    assert all(frame_numbers(clips.draw(0, 0, i, 0.0))[0] >= 8 for i in range(50))
    assert any(incomplete)


def test_a_sample_depends_on_seed_step_and_index_and_on_nothing_drawn_before():
    clips, fresh = source(Squares(), transform=cropped(24)), source(Squares(), transform=cropped(24))
    keys = [(seed, step, index) for seed in (1, 2) for step in (0, 1) for index in (0, 1)]
    images = [clips.draw(*key, 0.0).image.tobytes() for key in keys]
    backwards = [fresh.draw(*key, 0.0).image.tobytes() for key in reversed(keys)]
    assert images == backwards[::-1]
    assert len(set(images)) == len(keys)


class BrokenSecondFrame(Squares):
    def __getitem__(self, index):
        sequence = super().__getitem__(index)
        sequence.label_maps[1] = np.zeros((32, 30), dtype=np.uint8)
        return sequence


def test_a_label_map_of_another_size_is_named_and_not_passed_over():
    clips = source(BrokenSecondFrame(lengths=(3,)), frames=UniformGaps(reverse_probability=0.0, ends="fit"), max_skip=[[0.0, 1]])
    with pytest.raises(
        DatasetError, match=r"squares, sequence 'video0', frame '00001': the label map is 32x30 but frame '00000' is 32x32"
    ):
        clips.draw(0, 0, 0, 0.0)


def test_the_drawing_of_squares_tells_objects_by_colour():
    assert drawn(np.array([[0, 3]], dtype=np.uint8)).tolist() == [[[20, 20, 20], [60, 60, 250]]]
