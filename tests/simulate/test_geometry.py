import numpy as np
import pytest

from bids_ai.simulate import grids, motion, shapes, warp


def test_sphere_and_rod_have_true_distances():
    points = np.array([[0.0, 0.0, 13.0], [0.0, 5.0, 0.0], [10.0, 0.0, 0.0]])
    np.testing.assert_allclose(shapes.ellipsoid(points, (0, 0, 0), (10, 10, 10)), [3.0, -5.0, 0.0], atol=1e-9)
    rod = shapes.capsule(points, (0, 0, 0), (0, 0, 10), 2.0)
    np.testing.assert_allclose(rod, [1.0, 3.0, 8.0], atol=1e-9)


def test_flattened_rod_is_wider_than_deep():
    edge = np.array([[3.0, 0.0, 5.0], [0.0, 2.0, 5.0]])
    np.testing.assert_allclose(shapes.capsule(edge, (0, 0, 0), (0, 0, 10), 2.0, flatness=1.5), 0.0, atol=1e-9)


def test_partial_volume_is_half_on_a_surface():
    np.testing.assert_allclose(shapes.inside(np.array([-3.0, -0.5, 0.0, 0.5, 3.0]), 2.0), [1, 0.75, 0.5, 0.25, 0])
    np.testing.assert_allclose(shapes.between(np.array([0.0, 2.5, 5.0]), 1.0, 4.0, 1.0), [0, 1, 0])


def test_blend_is_a_union_away_from_the_joint():
    first, second = np.array([-5.0, 20.0, 1.0]), np.array([20.0, -5.0, 1.0])
    np.testing.assert_allclose(shapes.blend(first, second, 4.0), [-5.0, -5.0, 0.0])


def test_ripple_has_unit_variance():
    points = np.random.default_rng(0).uniform(-2000, 2000, (50000, 3))
    values = shapes.Ripple(np.random.default_rng(1), 90.0)(points)
    assert values.std() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_warp_is_one_to_one(seed):
    drawn = warp.random_warp(np.random.default_rng(seed))
    points = np.random.default_rng(9).uniform(-70, 70, (2000, 3))
    there_and_back = drawn.to_template(drawn.to_subject(points))
    # The grid of 6 mm bounds how well exp(v) and exp(-v) undo each other.
    assert np.linalg.norm(there_and_back - points, axis=1).max() < 0.25
    gradient = np.stack(np.gradient(drawn.forward, warp.FIELD_SPACING_MM, axis=(0, 1, 2)), axis=-1)
    assert np.linalg.det(gradient + np.eye(3)).min() > 0.2
    moved = np.linalg.norm(drawn.to_subject(points) - points, axis=1)
    assert moved.max() > 8.0


def test_exponential_of_a_constant_is_a_shift():
    velocity = np.broadcast_to([3.0, -2.0, 1.0], (8, 9, 10, 3))
    np.testing.assert_allclose(warp.exponential(velocity), velocity)


def test_rotation_about_a_centre():
    move = warp.rigid_matrix(np.array([1.0, 0.0, 0.0, 0.0, 0.0, np.pi / 2]), np.array([10.0, 0.0, 0.0]))
    # A quarter turn about z carries 5 mm along x to 5 mm along y, then the shift.
    np.testing.assert_allclose(warp.apply_affine(move, np.array([15.0, 0.0, 3.0])), [11.0, 5.0, 3.0], atol=1e-12)


def test_framewise_displacement_by_hand():
    rows = np.zeros((3, 6))
    rows[1] = [0.1, -0.2, 0.0, 0.0, 0.004, 0.0]
    rows[2] = [0.1, -0.2, 0.3, 0.0, 0.004, 0.0]
    np.testing.assert_allclose(motion.framewise_displacement(rows), [np.nan, 0.1 + 0.2 + 50 * 0.004, 0.3])


@pytest.mark.parametrize("seed", range(5))
def test_head_motion_is_small_but_for_its_jerks(seed):
    rows = motion.head_motion(130, np.random.default_rng(seed), n_spikes=2)
    displacement = motion.framewise_displacement(rows)
    assert (rows[0] == 0).all()
    assert 0.05 < np.nanmedian(displacement) < 0.2
    # A jerk is seen going and coming back.
    assert 3 <= (displacement > 0.5).sum() <= 4
    assert np.abs(rows[:, :3]).max() < 2.0
    assert np.abs(rows[:, 3:]).max() < np.deg2rad(1.5)


def test_grids_are_centred_on_what_they_image():
    centre = np.array([3.0, -20.0, 7.0])
    for oblique in (False, True):
        affine, shape = grids.bold_grid(4.0, centre, oblique=oblique)
        middle = warp.apply_affine(affine, (np.array(shape) - 1) / 2)
        np.testing.assert_allclose(middle, centre, atol=1e-3)
        np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), 4.0, atol=1e-5)


def test_slices_are_interleaved():
    times = grids.interleaved_slice_times(5)
    np.testing.assert_allclose(times, [0.0, 1.2, 0.4, 1.6, 0.8])
