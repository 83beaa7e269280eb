import warnings

import numpy as np
import pytest

from vosbench.clips.photometry import Photometry


@pytest.fixture
def frames():
    image = np.random.default_rng(0).integers(40, 200, (24, 24, 3), dtype=np.uint8)
    return np.stack([image] * 4)


def test_a_shared_change_is_the_same_in_every_frame_and_a_change_at_all(frames):
    changed = Photometry(brightness=0.3).same_for_all(frames, 1)
    assert np.ptp(changed.astype(int), axis=0).max() == 0
    assert (changed != frames).any()


def test_a_change_per_frame_differs_between_frames(frames):
    changed = Photometry(brightness=0.3).frame_by_frame(frames, 1)
    assert len({frame.tobytes() for frame in changed}) == 4


def test_brightness_multiplies_by_at_most_its_strength(frames):
    photometry = Photometry(brightness=0.1)
    ratios = [photometry.same_for_all(frames, seed).mean() / frames.mean() for seed in range(100)]
    assert 0.89 < min(ratios) < 0.92
    assert 1.08 < max(ratios) < 1.11


def test_the_same_seed_repeats_and_another_differs(frames):
    photometry = Photometry(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.05, grey_probability=0.3)
    first = photometry.same_for_all(frames, 5)
    photometry.same_for_all(frames, 6)
    np.testing.assert_array_equal(photometry.same_for_all(frames, 5), first)
    assert (photometry.same_for_all(frames, 6) != first).any()


def test_grey_has_three_equal_channels(frames):
    grey = Photometry(grey_probability=1.0).same_for_all(frames, 0)
    assert np.ptp(grey.astype(int), axis=-1).max() == 0


def test_blur_lowers_the_contrast_between_neighbours(frames):
    blurred = Photometry(blur_sigma=[1.5, 2.0], blur_probability=1.0).frame_by_frame(frames, 0)
    assert np.abs(np.diff(blurred.astype(int), axis=2)).mean() < 0.5 * np.abs(np.diff(frames.astype(int), axis=2)).mean()


def test_nothing_asked_changes_nothing(frames):
    assert Photometry().same_for_all(frames, 0) is frames


def test_an_argument_that_the_library_does_not_know_is_an_error(monkeypatch):
    import albumentations

    monkeypatch.setattr(
        albumentations, "ToGray", lambda p: warnings.warn("Argument(s) 'x' are not valid", UserWarning, stacklevel=1)
    )
    with pytest.raises(UserWarning, match="not valid"):
        Photometry(grey_probability=0.5)
