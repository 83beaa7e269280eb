import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.clips.squares import WHOLE, drawn, squares
from vosbench.clips.geometry import Affine, AreaCrop, Flip, ScaledCrop
from vosbench.clips.photometry import Photometry
from vosbench.clips.thin_plate import ThinPlateWarp
from vosbench.clips.transform import FILL, VideoTransform, shrunk
from vosbench.errors import ConfigError

VIDEO = VideoTransform(
    96,
    [Flip(), AreaCrop(area=[0.36, 1.0], ratio=[0.75, 1.333]), Affine(rotation=15.0, shear=10.0, per_frame=True)],
)
STATIC = VideoTransform(
    96,
    [
        Affine(scale=[0.8, 1.5]),
        Flip(),
        Affine(rotation=20.0, shear=10.0, scale=[0.9, 1.1], per_frame=True),
        ScaledCrop(scale=[1.0, 1.0], per_frame=True),
    ],
    warp=ThinPlateWarp(1.0),
)


def checkerboard(height: int, width: int, square: int) -> np.ndarray:
    rows, columns = np.indices((height, width)) // square
    return ((rows + columns) % 2 + 1).astype(np.uint8)


@pytest.mark.parametrize("transform", [VIDEO, STATIC], ids=["video", "static"])
@pytest.mark.parametrize("seed", range(6))
def test_images_and_label_maps_get_the_same_geometry(transform, seed):
    labels = np.stack([checkerboard(120, 160, 20)] * 3)
    image, label_map = transform(drawn(labels), labels, seed)
    nearest = np.abs(image[..., :2].astype(int) - [[250, 60]]).sum(-1) > np.abs(image[..., :2].astype(int) - [[60, 250]]).sum(-1)
    inside = label_map > 0
    agreement = (nearest[inside] + 1 == label_map[inside]).mean()
    assert agreement > 0.998  # what is left are mixed pixels on the edges of the squares


@given(seed=st.integers(0, 2**20))
@settings(max_examples=25)
def test_labels_stay_whole(seed):
    labels = np.where(checkerboard(60, 80, 10) == 1, 7, 255).astype(np.uint8)[None]
    _, label_map = STATIC(np.zeros((1, 60, 80, 3), dtype=np.uint8), labels, seed)
    assert set(np.unique(label_map)) <= {0, 7, 255}


def test_the_whole_frame_at_its_own_size_comes_back_unchanged():
    labels = np.stack([squares(0, 32), squares(5, 32)])
    image, label_map = WHOLE(drawn(labels), labels, 0)
    np.testing.assert_array_equal(label_map, labels)
    np.testing.assert_array_equal(image, drawn(labels))


def test_a_certain_flip_mirrors_the_frame():
    labels = squares(0, 32)[None]
    image, label_map = VideoTransform(32, [Flip(1.0), AreaCrop(area=[1.0, 1.0], ratio=[1.0, 1.0])])(drawn(labels), labels, 0)
    np.testing.assert_array_equal(label_map, labels[:, :, ::-1])
    np.testing.assert_array_equal(image, drawn(labels)[:, :, ::-1])


def test_doubling_the_size_repeats_every_label():
    labels = squares(0, 32)[None]
    _, label_map = VideoTransform(64, [ScaledCrop(scale=[1.0, 1.0])])(drawn(labels), labels, 0)
    np.testing.assert_array_equal(label_map[0], labels[0].repeat(2, axis=0).repeat(2, axis=1))


def test_outside_the_image_lie_the_mean_colour_and_background():
    frames, labels = np.zeros((1, 32, 32, 3), dtype=np.uint8), np.ones((1, 32, 32), dtype=np.uint8)
    image, label_map = VideoTransform(32, [ScaledCrop(scale=[0.5, 0.5])])(frames, labels, 3)
    assert label_map.sum() == 16 * 16
    fill = (image == FILL).all(-1)
    assert not label_map[fill].any()
    assert fill.sum() >= 32 * 32 - 18 * 18  # the edge of the image may mix with it


def test_without_steps_per_frame_equal_frames_stay_equal():
    labels = np.stack([squares(0, 32)] * 3)
    shared = VideoTransform(24, [Flip(), AreaCrop(area=[0.3, 0.8], ratio=[0.75, 1.333])], shared=Photometry(brightness=0.2))
    image, label_map = shared(drawn(labels), labels, 9)
    assert np.ptp(image.astype(int), axis=0).max() == 0
    assert np.ptp(label_map.astype(int), axis=0).max() == 0


def test_the_same_seed_repeats_the_clip_and_another_does_not():
    labels = np.stack([squares(0, 32)] * 3)
    transform = VideoTransform(
        48, STATIC.geometry, warp=STATIC.warp, shared=Photometry(hue=0.05), per_frame=Photometry(brightness=0.1)
    )
    first, first_labels = transform(drawn(labels), labels, 1)
    other, _ = transform(drawn(labels), labels, 2)
    again, again_labels = transform(drawn(labels), labels, 1)
    np.testing.assert_array_equal(again, first)
    np.testing.assert_array_equal(again_labels, first_labels)
    assert (other != first).any()


def test_an_image_reduced_much_is_averaged_not_sampled():
    fine = np.indices((512, 512)).sum(0) % 2 * np.uint8(200)  # single pixels of 0 and 200: 100 on average
    frames = np.repeat(fine.astype(np.uint8)[None, ..., None], 3, axis=-1)
    image, _ = VideoTransform(64, [AreaCrop(area=[1.0, 1.0], ratio=[1.0, 1.0])])(
        frames, np.zeros((1, 512, 512), dtype=np.uint8), 0
    )
    assert np.abs(image.astype(int) - 100).max() <= 1


def test_a_reduced_image_is_looked_up_at_the_same_places():
    source = np.zeros((100, 200), dtype=np.uint8)
    matrix = np.diag([0.25, 0.25, 1.0])
    reduced, onwards = shrunk(source, matrix)
    assert reduced.shape == (25, 50)
    np.testing.assert_allclose(onwards @ [50.0, 25.0, 1.0], matrix @ [200.0, 100.0, 1.0])


def test_a_geometry_without_a_crop_is_refused():
    with pytest.raises(ConfigError, match="no step that crops"):
        VideoTransform(32, [Flip()])
