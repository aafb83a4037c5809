"""Motion, eddy currents and lost slices of a small head with known ones."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from bids_ai.bids.gradients import GradientTable
from bids_ai.preprocess.bold_geometry import apply_matrix, grid_points
from bids_ai.preprocess.dwi_alignment import Level, PredictionAligner, eddy_matrix, split
from bids_ai.preprocess.dwi_eddy import explained_by_gradients
from bids_ai.preprocess.dwi_motion import Motion, MotionEstimator
from bids_ai.preprocess.motion import rigid_matrix
from tests.preprocess.dwi_phantom import Head, make_head, series, small_table, wander

PHASE = np.array([0.0, 1.0, 0.0])


@pytest.fixture(scope="module")
def head() -> Head:
    return make_head()


def truth(n: int) -> np.ndarray:
    return np.array([rigid_matrix(row, np.zeros(3)) for row in wander(n)])


def estimate(head: Head, data: np.ndarray, table: GradientTable, phase: np.ndarray | None = None) -> Motion:
    return MotionEstimator(
        lambda volume: data[..., volume], table, head.affine, head.brain, phase_axis=phase, sloppy=True
    ).run()


def errors_mm(head: Head, found: np.ndarray, true: np.ndarray) -> np.ndarray:
    points = grid_points(head.brain.shape, head.affine, head.brain).astype(float)
    return np.array(
        [
            np.linalg.norm(apply_matrix(a, points) - apply_matrix(b, points), axis=1).mean()
            for a, b in zip(found, true, strict=True)
        ]
    )


def test_split_undoes_eddy_currents_after_motion() -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        axis = rng.standard_normal(3)
        axis /= np.linalg.norm(axis)
        centre, slopes = rng.standard_normal(3) * 10, rng.standard_normal(3) * 0.02
        rigid = rigid_matrix(rng.standard_normal(6) * [2, 2, 2, 0.05, 0.05, 0.05], centre)
        found, back = split(eddy_matrix(slopes, axis, centre) @ rigid, axis, centre)
        assert_allclose(found, rigid, atol=1e-9)
        assert_allclose(back, slopes, atol=1e-12)


def test_aligner_finds_shear_and_motion_at_once(head: Head) -> None:
    table = small_table()
    direction = table.world(head.affine)[1]
    still = head.volume(1000, direction, np.eye(4))
    planted = eddy_matrix([0.015, -0.02, 0.01], PHASE, np.zeros(3)) @ rigid_matrix(
        np.array([0.5, -0.4, 0.6, 0.01, -0.008, 0.005]), np.zeros(3)
    )
    left, _, right = np.linalg.svd(planted[:3, :3])
    moved = head.volume(1000, left @ right @ direction, planted)
    aligner = PredictionAligner(still, head.affine, head.brain, Level(8.0, 20_000, 20), PHASE)
    found, correlation = aligner.fit(moved, np.eye(4))
    assert errors_mm(head, [found], [planted])[0] < 0.12
    assert correlation > 0.99
    assert_allclose(split(found, PHASE, np.zeros(3))[1], [0.015, -0.02, 0.01], atol=0.004)


def test_motion_is_found(head: Head) -> None:
    true = truth(20)
    data, table = series(head, true)
    found = estimate(head, data, table)
    before, after = (errors_mm(head, m, true) for m in (np.tile(np.eye(4), (20, 1, 1)), found.matrices))
    # Voxels have 6 mm: a twelfth of that, and a fraction of what the motion was. Real grids: docs/diffusion.md.
    assert after.mean() < 0.5
    assert after.mean() < 0.4 * before.mean()
    assert np.isnan(found.correlations[table.unweighted]).all()
    assert (found.correlations[~table.unweighted] > 0.97).all()
    assert not found.outliers.outlier.any()


def test_eddy_currents_are_corrected_where_they_follow_the_gradients(head: Head) -> None:
    table = small_table(30, (0, 10, 20))
    induced = np.array([[0.02, 0, 0.01], [-0.01, 0.015, 0], [0, 0.02, -0.015]])
    induced = np.vstack([induced, [1.2, -0.8, 0.5]])  # mm
    slopes = np.sqrt(table.bvals / 1000)[:, None] * table.world(head.affine) @ induced.T
    eddy = np.array([eddy_matrix(row, PHASE, np.zeros(3)) for row in slopes])
    still = np.tile(np.eye(4), (len(table), 1, 1))
    data, _ = series(head, eddy @ still, table=table)
    found = estimate(head, data, table, PHASE)
    weighted = ~table.unweighted
    for columns in (slice(0, 3), slice(3, 4)):
        wanted = slopes[weighted][:, columns]
        assert np.abs(found.slopes[weighted][:, columns] - wanted).mean() < 0.35 * np.abs(wanted).mean()
    assert not found.slopes[~weighted].any()
    assert "were corrected" in found.notes[0]
    # Eddy currents turn no gradients: what is called motion is rigid.
    turned = found.rigid[:, :3, :3]
    assert_allclose(turned @ turned.transpose(0, 2, 1), still[:, :3, :3], atol=1e-9)


def test_shear_that_does_not_follow_the_gradients_is_noise() -> None:
    table = small_table(12, (0,))
    passed = 0
    for seed in range(200):
        noise = 0.01 * np.random.default_rng(seed).standard_normal((len(table), 3))
        offsets = np.random.default_rng(1000 + seed).standard_normal(len(table)) + np.linspace(-5, 5, len(table))
        slopes = np.where(table.unweighted[:, None], np.nan, noise)
        slopes, note = explained_by_gradients(slopes, offsets, table, np.eye(4))
        passed += int(slopes.any(axis=0).sum())
        assert slopes.any() != ("none were corrected" in note)
    assert passed / 800 < 0.03
    few, note = explained_by_gradients(np.full((13, 3), np.nan), np.zeros(13), table, np.eye(4))
    assert not few.any()
    assert "too few" in note


def test_lost_slice_is_found_and_replaced(head: Head) -> None:
    true = truth(20)
    data, table = series(head, true)
    whole = data.copy()
    data[:, :, 6, 5] *= 0.5
    data[:, :, 8, 14] *= 0.6
    found = estimate(head, data, table)
    assert set(zip(*np.nonzero(found.outliers.outlier), strict=True)) == {(5, 6), (14, 8)}
    assert found.outliers.loss[5, 6] == pytest.approx(0.5, abs=0.08)
    assert found.outliers.z[5, 6] < -4
    mended = found.outliers.replaced(5, data[..., 5])
    assert_allclose(mended[:, :, 7], data[:, :, 7, 5])
    brain = head.brain[:, :, 6]
    lost, left = (np.abs(image - whole[..., 5])[:, :, 6][brain].mean() for image in (data[..., 5], mended))
    assert left < 0.25 * lost
    # A volume without outliers is handed through.
    assert found.outliers.replaced(2, data[..., 2]) is not None


def test_single_b0_volume_at_the_start_is_enough(head: Head) -> None:
    base = small_table(b0_at=(0,))
    true = truth(18)
    data, table = series(head, true, table=base)
    found = estimate(head, data, table)
    steps = errors_mm(head, found.matrices[1:] @ np.linalg.inv(found.matrices[1]), true[1:] @ np.linalg.inv(true[1]))
    assert steps.mean() < 0.6
