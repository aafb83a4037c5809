"""Where a b0 lies, and whether its T1w can be of the same head."""

from __future__ import annotations

import numpy as np
import pytest

from bids_ai.preprocess.bold_geometry import apply_matrix, grid_points, voxel_sizes
from bids_ai.preprocess.dwi_registration import as_t1w, cannot_be_the_same_head, register_to_t1w
from bids_ai.preprocess.dwi_resampling import make_target, output_grid, resample
from bids_ai.preprocess.motion import rigid_matrix
from tests.preprocess.dwi_phantom import SHAPE, bump, make_head

BRIGHT = np.array([0.0, 60.0, 100.0, 25.0])  # T1w, by tissue


def test_t1w_of_another_size_is_told() -> None:
    head = make_head()
    b0 = head.volume(0, np.zeros(3), np.eye(4)).astype(np.float32)
    brain = (BRIGHT[head.tissue]).astype(np.float32)
    same = register_to_t1w(b0, head.affine, head.brain, brain, head.tissue, head.fine_affine, sloppy=True)
    np.testing.assert_allclose(same.matrix, np.eye(4), atol=0.5)
    assert cannot_be_the_same_head(same.quality) == ""
    larger = np.diag([1.08, 1.06, 1.07, 1.0]) @ head.fine_affine
    other = register_to_t1w(b0, head.affine, head.brain, brain, head.tissue, larger, sloppy=True)
    assert "stretched" in cannot_be_the_same_head(other.quality)


@pytest.mark.parametrize(
    ("stretch", "in_order", "doubted"),
    [((0.3, 2.8, -0.2), 0.99, False), ((0.3, 2.8, -2.4), 0.99, True), ((0.1, 0.2, 0.1), 0.5, True)],
)
def test_one_axis_may_be_stretched_by_distortion(stretch: tuple[float, ...], in_order: float, doubted: bool) -> None:
    why = cannot_be_the_same_head({"stretch_percent": list(stretch), "boundary_in_order": in_order})
    assert bool(why) == doubted


def test_contrast_is_turned_around_inside_the_brain_only() -> None:
    head = make_head()
    b0 = head.volume(0, np.zeros(3), np.eye(4))
    turned = as_t1w(b0, head.brain)
    assert not turned[~head.brain].any()
    assert np.corrcoef(turned[head.brain], b0[head.brain])[0, 1] < -0.8


def test_grid_of_the_outputs_has_the_voxels_of_the_series() -> None:
    series = np.array([[0, -2.0, 0, 40], [1.5, 0, 0, -30], [0, 0, 3.0, -20], [0, 0, 0, 1]])
    frame = rigid_matrix(np.array([0, 0, 0, 0.1, 0.05, -0.1]), np.zeros(3)) @ np.diag([1.0, 1.0, 1.0, 1.0])
    brain = np.zeros((40, 50, 30), bool)
    brain[5:30, 10:40, 4:20] = True
    shape, affine = output_grid(brain, frame, series, np.eye(4))
    np.testing.assert_allclose(voxel_sizes(affine), [2.0, 1.5, 3.0])
    corners = apply_matrix(frame, np.argwhere(brain)[[0, -1]].astype(float))
    voxels = apply_matrix(np.linalg.inv(affine), corners)
    assert (voxels > 1).all()
    assert (voxels < np.array(shape) - 2).all()


def test_all_corrections_in_one_interpolation_give_the_still_head_back() -> None:
    head, shift = make_head(), bump()
    moved = rigid_matrix(np.array([0.8, -0.5, 0.6, 0.01, -0.02, 0.015]), np.zeros(3))
    still = head.volume(0, np.zeros(3), np.eye(4))
    # The field goes with the head here, as `resample` has it; small enough a turn that it does not matter.
    volume = head.volume(0, np.zeros(3), moved, shift)
    points = grid_points(SHAPE, head.affine)
    target = make_target(points, head.affine, shift.astype(np.float32), 1, None)
    ((values, seen),) = resample(lambda _: volume, head.affine, moved[None], target)
    inside = head.brain & seen.reshape(SHAPE)
    left, before = (np.abs(image.reshape(SHAPE) - still)[inside].mean() for image in (values, volume))
    assert left < 0.35 * before
    assert not values[~seen].any()
