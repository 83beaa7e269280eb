"""Scenes built by hand: what is on top is what the label map says, and attributes are what the eye would say."""

import math
from dataclasses import replace

import numpy as np
import pytest

from vosbench.datasets.procedural import ProceduralVideos
from vosbench.datasets.procedural_attributes import attributes
from vosbench.datasets.procedural_motion import Camera, Excursion, Light, Motion, Wave, reflected
from vosbench.datasets.procedural_scene import Appearance, Layer, Scene
from vosbench.datasets.procedural_shapes import FAMILIES, shape

STILL = Wave(0.0, 1.0, 0.0)
TRIPOD = Camera(centre=(50.0, 50.0), shift=(STILL, STILL), roll=STILL, zoom=STILL, slide=(0.0, 0.0))
EVEN = Light(STILL, (STILL, STILL, STILL))
SQUARE = [np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])]


def square(colour: tuple[int, int, int]) -> Appearance:
    return Appearance("square", SQUARE, np.full((8, 8, 3), colour, np.uint8))


def motion(x: float, y: float, velocity: tuple[float, float] = (0.0, 0.0)) -> Motion:
    return Motion(
        start=(x, y),
        velocity=velocity,
        low=(-1000.0, -1000.0),
        high=(1000.0, 1000.0),
        sway=(STILL, STILL),
        angle=0.0,
        spin=0.0,
        breath=STILL,
        bulge=(STILL, STILL, STILL, STILL),
    )


def layer(appearance: Appearance, way: Motion, side: float, object_id: int, entry: int = 0) -> Layer:
    return Layer(appearance, way, side / math.sqrt(math.pi / 4), object_id, entry)


def scene(*layers: Layer) -> Scene:
    return Scene((100, 100), np.zeros((100, 100, 3), np.uint8), TRIPOD, list(layers), EVEN, np.zeros((100, 100, 3), np.uint8))


RED, BLUE, GREY = square((255, 0, 0)), square((0, 0, 255)), square((90, 90, 90))


def test_light_changes_each_colour_by_its_own_stops_and_no_label():
    up, down = Wave(1.0, math.pi / 2, 0.0), Wave(-1.0, math.pi / 2, 0.0)  # a stop at frame 1
    bulb = Light(up, (STILL, down, Wave(-2.0, math.pi / 2, 0.0)))  # red doubled, green kept, blue halved
    drawn = scene(layer(GREY, motion(50.0, 50.0), 40.0, 1))
    lit = Scene((100, 100), drawn.background, TRIPOD, drawn.layers, bulb, drawn.grain)

    assert lit.image(0)[50, 50].tolist() == [90, 90, 90]
    assert lit.image(1)[50, 50].tolist() == [180, 90, 45]
    assert np.array_equal(lit.label_map(1), drawn.label_map(1))


def test_the_upper_layer_takes_the_pixels_in_image_and_label_map():
    drawn = scene(
        layer(RED, motion(40.0, 50.0), 40.0, 1),
        layer(BLUE, motion(60.0, 50.0), 20.0, 2),
        layer(GREY, motion(40.0, 50.0), 10.0, 0),
    )

    image, label_map = drawn.image(0), drawn.label_map(0)

    assert [label_map[50, x] for x in (10, 25, 40, 60, 90)] == [0, 1, 0, 2, 0]
    colours = [image[50, x].tolist() for x in (10, 25, 40, 60, 90)]
    assert colours == [[0, 0, 0], [255, 0, 0], [90, 90, 90], [0, 0, 255], [0, 0, 0]]


def test_every_labelled_pixel_shows_its_object_and_no_other_pixel_does():
    drawn = scene(layer(RED, motion(20.3, 40.7, (1.3, 0.4)), 30.0, 1), layer(BLUE, motion(70.2, 50.1, (-1.1, 0.2)), 26.0, 2))

    for t in range(0, 40, 5):
        image, label_map = drawn.image(t), drawn.label_map(t)
        # The lens mixes neighbours, so the strongest channel decides; black holds less than half of either.
        np.testing.assert_array_equal(label_map == 1, (image[..., 0] > image[..., 2]) & (image[..., 0] > 127))
        np.testing.assert_array_equal(label_map == 2, (image[..., 2] > image[..., 0]) & (image[..., 2] > 127))


def test_the_area_of_a_square_and_its_place_are_as_asked():
    drawn = scene(layer(RED, motion(30.0, 60.0, (2.0, -1.0)), 20.0, 7))

    rows, columns = np.nonzero(drawn.label_map(10) == 7)

    assert (rows.mean(), columns.mean()) == (50, 50)
    assert rows.size == 21 * 21  # pixel centres from 40 to 60 inclusive


def test_a_hole_belongs_to_what_lies_behind():
    ring = Appearance("ring", [SQUARE[0] * 2, SQUARE[0]], np.full((8, 8, 3), 200, np.uint8))

    label_map = scene(layer(BLUE, motion(50.0, 50.0), 6.0, 2), layer(ring, motion(50.0, 50.0), 30.0, 1)).label_map(0)

    assert [label_map[50, x] for x in (50, 58, 70)] == [2, 0, 1]


def test_nothing_is_drawn_before_its_entry():
    drawn = scene(layer(RED, motion(50.0, 50.0), 20.0, 1, entry=4))

    assert [bool(drawn.label_map(t).any()) for t in (0, 3, 4, 9)] == [False, False, True, True]
    assert not drawn.image(3).any()


def test_the_camera_moves_objects_and_background_together():
    board = np.zeros((100, 100, 3), np.uint8)
    board[50, 20] = 255
    shift = Wave(8.0, math.pi / 2, 0.0)  # 0 at frame 0, 8 at frame 1
    camera = replace(TRIPOD, shift=(shift, STILL))
    drawn = Scene((100, 100), board, camera, [layer(RED, motion(60.0, 50.0), 10.0, 1)], EVEN, np.zeros((100, 100, 3), np.uint8))

    columns = [np.nonzero(drawn.label_map(t))[1].mean() for t in (0, 1)]
    dots = [int(drawn.image(t)[50, :40, 1].argmax()) for t in (0, 1)]

    assert columns == [60, 68]
    assert dots == [20, 28]


@pytest.mark.parametrize(("value", "expected"), [(3.0, 3.0), (12.0, 8.0), (-2.0, 2.0), (23.0, 3.0), (40.0, 0.0)])
def test_a_way_bounces_off_its_walls(value, expected):
    assert reflected(value, 0.0, 10.0) == pytest.approx(expected)


def test_an_excursion_leaves_and_comes_back():
    way = replace(motion(50.0, 50.0), excursions=(Excursion((0.0, -100.0), 4.0, 12.0, 4.0),))

    assert [way.centre(t) for t in (0, 4, 6, 8, 12, 14, 16)] == [
        (50, 50),
        (50, 50),
        (50, 0),  # half way in the middle of the ramp
        (50, -50),
        (50, -50),
        (50, 0),
        (50, 50),
    ]


def test_an_object_alone_and_at_rest_has_no_attribute():
    assert attributes(scene(layer(RED, motion(50.0, 50.0), 30.0, 1)), 5) == {1: frozenset()}


def test_small_fast_and_late_are_measured_against_the_frame():
    drawn = scene(
        layer(RED, motion(20.0, 20.0), 12.0, 1),  # 169 of 10,000 pixels, below two in a hundred
        layer(BLUE, motion(20.0, 60.0, (4.0, 0.0)), 20.0, 2),  # four pixels a frame, above three in a hundred
        layer(GREY, motion(70.0, 20.0), 20.0, 3, entry=2),
    )

    assert attributes(drawn, 8) == {1: frozenset({"small"}), 2: frozenset({"fast"}), 3: frozenset({"late"})}


def test_what_is_hidden_for_more_than_half_is_occluded_and_what_comes_back_re_appears():
    passing = layer(GREY, motion(-30.0, 50.0, (8.0, 0.0)), 40.0, 0)

    assert attributes(scene(layer(RED, motion(50.0, 50.0), 30.0, 1), passing), 25)[1] == {"occluded", "re-appearing"}
    assert attributes(scene(layer(RED, motion(50.0, 50.0), 30.0, 1), passing), 11)[1] == {"occluded"}
    assert attributes(scene(passing, layer(RED, motion(50.0, 50.0), 30.0, 1)), 25)[1] == frozenset()


@pytest.mark.parametrize(("cover_x", "expected"), [(23.0, frozenset()), (29.0, frozenset({"occluded"}))])
def test_occlusion_begins_at_half(cover_x, expected):
    # The object spans columns 35 to 65; the cover reaches to column 48, or to column 54.
    drawn = scene(layer(RED, motion(50.0, 50.0), 30.0, 1), layer(GREY, motion(cover_x, 50.0), 50.0, 0))

    assert attributes(drawn, 2)[1] == expected


def test_leaving_the_frame_is_no_occlusion():
    way = replace(motion(50.0, 50.0), excursions=(Excursion((0.0, -100.0), 4.0, 12.0, 4.0),))

    assert "occluded" not in attributes(scene(layer(RED, way, 30.0, 1)), 20)[1]
    assert "re-appearing" in attributes(scene(layer(RED, way, 30.0, 1)), 20)[1]


def test_a_look_alike_counts_while_both_are_in_view():
    near, hidden, out = motion(80.0, 80.0), motion(20.0, 20.0), motion(300.0, 300.0)
    cover = layer(GREY, motion(20.0, 20.0), 40.0, 0)

    assert "look-alike" in attributes(scene(layer(RED, motion(20.0, 20.0), 20.0, 1), layer(RED, near, 22.0, 0)), 2)[1]
    assert "look-alike" not in attributes(scene(layer(RED, motion(20.0, 20.0), 20.0, 1), layer(BLUE, near, 22.0, 0)), 2)[1]
    assert "look-alike" not in attributes(scene(layer(RED, motion(20.0, 20.0), 20.0, 1), layer(RED, out, 22.0, 0)), 2)[1]
    assert "look-alike" not in attributes(scene(layer(RED, hidden, 22.0, 0), cover, layer(RED, near, 20.0, 1)), 2)[1]


def test_attributes_of_drawn_sequences_agree_with_their_label_maps():
    dataset = ProceduralVideos("val", size=128, length=28, count=10, seed=8, with_attributes=True)

    for sequence in dataset:
        for item in sequence.objects:
            masks = [sequence.label_maps[t] == item.object_id for t in range(28)]
            areas = [int(mask.sum()) for mask in masks]
            shown = [t for t in range(28) if areas[t] > 0]
            centres = {t: np.argwhere(masks[t]).mean(axis=0) for t in shown}
            ways = [np.linalg.norm(centres[t + 1] - centres[t]) for t in shown if t + 1 in centres]
            assert ("small" in item.attributes) == (np.mean([areas[t] for t in shown]) < 0.02 * 128 * 128)
            assert ("fast" in item.attributes) == (np.mean(ways) > 0.03 * 128)
            assert ("late" in item.attributes) == (shown[0] > 0)
            assert ("re-appearing" in item.attributes) == (shown[-1] - shown[0] + 1 > len(shown))


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("seed", range(5))
def test_every_shape_has_unit_area_and_fills_it_when_drawn(family, seed):
    contours = shape(family, np.random.default_rng(seed))
    appearance = Appearance(family, contours, np.zeros((8, 8, 3), np.uint8))

    filled = np.count_nonzero(scene(layer(appearance, motion(50.0, 50.0), 40.0, 1)).label_map(0))

    # 40 x 40 pixels, and the half pixel that filling adds along the contours (a fifth for the longest ones).
    assert 0.97 * 1600 < filled < 1.25 * 1600
    assert np.abs(np.concatenate(contours)).max() < 1.7
