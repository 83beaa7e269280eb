import numpy as np

from vosbench.clips.thin_plate import ThinPlateWarp, thin_plate


def test_control_points_go_where_they_are_told():
    generator = np.random.default_rng(0)
    control, target = generator.random((12, 2)), generator.random((12, 2))
    np.testing.assert_allclose(thin_plate(control, target, control), target, atol=1e-9)


def test_an_affine_move_of_the_control_points_moves_the_whole_plane_so():
    generator = np.random.default_rng(1)
    control, elsewhere = generator.random((12, 2)), generator.random((50, 2))
    turn = np.array([[0.9, 0.2], [-0.1, 1.1]])
    np.testing.assert_allclose(thin_plate(control, control @ turn + 0.3, elsewhere), elsewhere @ turn + 0.3, atol=1e-9)


def test_the_displacement_on_the_grid_is_that_of_the_formula_at_pixel_centres():
    generator = np.random.default_rng(7)
    field = ThinPlateWarp(1.0).displacement(64, generator)
    again = np.random.default_rng(7)
    again.random()
    control = again.random((12, 2))
    target = control + again.normal(0.0, 0.02, size=control.shape)
    centre = np.array([[(40 + 0.5) / 64, (23 + 0.5) / 64]])  # column 40, row 23
    np.testing.assert_allclose(field[23, 40], (thin_plate(control, target, centre) - centre)[0] * 64, atol=0.05)


def test_only_the_asked_part_of_the_frames_is_warped():
    generator = np.random.default_rng(0)
    warped = sum(ThinPlateWarp(0.33).displacement(8, generator) is not None for _ in range(600))
    assert 160 < warped < 236
