from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bids_ai.preprocess import motion

AFFINE = np.array([[-3.0, 0, 0, 40], [0, 2.9, -0.6, -50], [0, 0.6, 2.9, -30], [0, 0, 0, 1]])
SHAPE = (26, 30, 22)


@pytest.fixture(scope="module")
def blob() -> np.ndarray:
    rng = np.random.default_rng(3)
    texture = ndimage.gaussian_filter(rng.normal(size=SHAPE), 2.0)
    inside = sum(((x - (n - 1) / 2) / (n / 2.6)) ** 2 for x, n in zip(np.indices(SHAPE), SHAPE, strict=True)) < 1
    return ndimage.gaussian_filter(inside * (1000 + 3000 * texture), 0.8).astype(np.float32)


def moved(volume: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The volume after its content moved by `matrix`: value at x is that at the inverse of x."""
    back = np.linalg.inv(AFFINE) @ np.linalg.inv(matrix) @ AFFINE
    return ndimage.affine_transform(volume, back[:3, :3], back[:3, 3], order=3, mode="nearest")


def test_parameters_and_matrix_are_inverse() -> None:
    parameters = np.array([1.0, -2.0, 0.5, 0.1, -0.2, 0.3])
    centre = np.array([10.0, -20.0, 5.0])
    matrix = motion.rigid_matrix(parameters, centre)
    assert motion.rigid_parameters(matrix, centre) == pytest.approx(parameters)
    # The centre itself is moved by the translation alone.
    assert matrix[:3, :3] @ centre + matrix[:3, 3] == pytest.approx(centre + parameters[:3])


def test_rotation_about_z_is_right_handed() -> None:
    matrix = motion.rigid_matrix(np.array([0, 0, 0, 0, 0, np.pi / 2]), np.zeros(3))
    assert matrix[:3, :3] @ [1, 0, 0] == pytest.approx([0, 1, 0])


def test_framewise_displacement_by_hand() -> None:
    parameters = np.zeros((3, 6))
    parameters[1] = [0.1, -0.2, 0.0, 0.001, 0.0, -0.002]
    found = motion.framewise_displacement(parameters)
    # 0.1 + 0.2 + 50 (0.001 + 0.002), there and back.
    assert np.isnan(found[0])
    assert found[1:] == pytest.approx([0.45, 0.45])


@pytest.mark.parametrize("true", [(0.3, -0.2, 0.1, 0.2, 0.1, -0.3), (4.0, -3.0, 2.0, 3.0, -2.0, 4.0)])
def test_known_motion_is_found_whatever_the_gain(blob: np.ndarray, true: tuple[float, ...]) -> None:
    parameters = np.array([*true[:3], *np.deg2rad(true[3:])])
    aligner = motion.RigidAligner(blob, AFFINE, blob > 100)
    volume = 1.1 * moved(blob, motion.rigid_matrix(parameters, aligner.centre)) + 30
    volume += np.random.default_rng(0).normal(0, 10, SHAPE)
    matrix, correlation = aligner.fit(volume)
    error = motion.rigid_parameters(matrix, aligner.centre) - parameters
    assert np.abs(error[:3]).max() < 0.1
    assert np.rad2deg(np.abs(error[3:])).max() < 0.1
    assert correlation > 0.98


def test_no_motion_gives_none(blob: np.ndarray) -> None:
    matrix, correlation = motion.RigidAligner(blob, AFFINE, blob > 100).fit(blob)
    assert matrix == pytest.approx(np.eye(4), abs=1e-3)
    assert correlation == pytest.approx(1, abs=1e-4)


def test_threads_do_not_change_the_result(blob: np.ndarray) -> None:
    aligner = motion.RigidAligner(blob, AFFINE, blob > 100, motion.SLOPPY_LEVELS)
    steps = [motion.rigid_matrix(np.array([0.1 * t, 0, 0, 0, 0, 0.001 * t]), aligner.centre) for t in range(20)]
    volumes = [moved(blob, step) for step in steps]
    one, _ = motion.estimate_motion(volumes.__getitem__, 20, aligner, n_threads=1)
    two, _ = motion.estimate_motion(volumes.__getitem__, 20, aligner, n_threads=2)
    assert np.array_equal(one, two)
    found = motion.motion_parameters(one, aligner.centre)
    assert found[:, 0] == pytest.approx(0.1 * np.arange(20), abs=0.05)
    assert np.rad2deg(found[:, 5]) == pytest.approx(np.rad2deg(0.001 * np.arange(20)), abs=0.05)
