import numpy as np
import pytest

from tests.clips.squares import WHOLE, SquareStills, any_object
from vosbench.clips.geometry import Affine, ScaledCrop
from vosbench.clips.object_choice import ObjectChoice
from vosbench.clips.still_clips import StillClips
from vosbench.clips.transform import VideoTransform
from vosbench.errors import ConfigError

MOVING = VideoTransform(32, [Affine(rotation=20.0, translate=0.2, per_frame=True), ScaledCrop(scale=[1.0, 1.0], per_frame=True)])


def test_without_motion_every_frame_is_the_still():
    sample = StillClips(SquareStills(), 4, objects=any_object(), transform=WHOLE).draw(0, 0, 0, 0.0)
    still = SquareStills()[int(sample.sequence.removeprefix("still"))]
    np.testing.assert_array_equal(sample.image, np.stack([still.image] * 4))
    np.testing.assert_array_equal(sample.label_map > 0, np.stack([still.label_map > 0] * 4))


def test_with_motion_the_frames_differ_and_the_object_keeps_its_number():
    sample = StillClips(SquareStills(), 4, objects=ObjectChoice(1), transform=MOVING).draw(0, 0, 1, 0.0)
    solid = [np.median(sample.image[t][sample.label_map[t] == 1], axis=0).tolist() for t in range(4)]
    assert len({frame.tobytes() for frame in sample.label_map}) == 4
    assert solid == [solid[0]] * 4


def test_objects_lost_to_the_crop_lead_to_another_draw():
    far = VideoTransform(32, [Affine(translate=1.0), ScaledCrop(scale=[1.0, 1.0])])
    patient = StillClips(SquareStills(), 2, objects=any_object(), transform=far, redraws=30)
    once = StillClips(SquareStills(), 2, objects=any_object(), transform=far, redraws=0)
    assert all(patient.draw(0, 0, i, 0.0).num_objects for i in range(30))
    assert not all(once.draw(0, 0, i, 0.0).num_objects for i in range(30))


def test_every_still_is_drawn():
    clips = StillClips(SquareStills(), 1, objects=any_object(), transform=WHOLE)
    assert {clips.draw(0, 0, i, 0.0).sequence for i in range(60)} == {"still0", "still1", "still2", "still3"}


class NoStills(SquareStills):
    def __len__(self):
        return 0


def test_an_empty_data_set_is_refused():
    with pytest.raises(ConfigError, match="square-stills holds no images"):
        StillClips(NoStills(), 2, objects=any_object(), transform=WHOLE)
