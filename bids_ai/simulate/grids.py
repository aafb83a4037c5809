"""Where the images lie: grids of the T1w and of the BOLD in scanner space, and where the head lies in them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bids_ai.simulate.plan import REPETITION_TIME_S
from bids_ai.simulate.warp import apply_affine, rigid_matrix, rotation_matrix

Array = NDArray[np.floating]
Grid = tuple[Array, tuple[int, int, int]]

#: Field of view of the T1w: a head with part of the neck; size and centre in mm, x y z.
T1W_FOV_MM = (192.0, 240.0, 228.0)
T1W_CENTRE_MM = (0.0, -16.0, -14.0)
#: Field of view of the BOLD around the brain.
BOLD_FOV_MM = (176.0, 208.0, 160.0)
#: Head out of the scanner and back: uniform within these, mm and degrees. Small within a session.
_SAME_SESSION = (1.5, 1.0)
_REPOSITIONED = (7.0, 5.0)


def t1w_grid(voxel_mm: float, *, oblique: bool) -> Grid:
    """Grid of a T1w: axes R, A, S; or sagittal slices (P, S, R) tilted by a few degrees."""
    if not oblique:
        return _grid(np.eye(3), T1W_FOV_MM, T1W_CENTRE_MM, voxel_mm)
    axes = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    tilt = rotation_matrix(np.deg2rad([6.0, -2.0, 3.0]))
    size = (T1W_FOV_MM[1], T1W_FOV_MM[2], T1W_FOV_MM[0])
    return _grid(tilt @ axes, size, T1W_CENTRE_MM, voxel_mm)


def bold_grid(voxel_mm: float, brain_centre_mm: Array, *, oblique: bool) -> Grid:
    """Axial slices over the brain: axes R, A, S; or L, A, S tilted away from the eyes."""
    if not oblique:
        return _grid(np.eye(3), BOLD_FOV_MM, brain_centre_mm, voxel_mm)
    tilt = rotation_matrix(np.deg2rad([14.0, 1.5, -3.0]))
    return _grid(tilt @ np.diag([-1.0, 1.0, 1.0]), BOLD_FOV_MM, brain_centre_mm, voxel_mm)


def head_pose(rng: np.random.Generator, centre_mm: Array, *, repositioned: bool) -> Array:
    """Rigid move of the head from the T1w to the first frame of a run, shape (4, 4)."""
    shift, turn = _REPOSITIONED if repositioned else _SAME_SESSION
    parameters = np.concatenate([rng.uniform(-shift, shift, 3), np.deg2rad(rng.uniform(-turn, turn, 3))])
    return rigid_matrix(parameters, centre_mm)


def brain_centre(mask: NDArray[np.bool_], affine: Array) -> Array:
    """Middle of the brain's extent in scanner mm, to the millimetre."""
    points = apply_affine(affine, np.argwhere(mask).astype(float))
    return np.rint((points.min(axis=0) + points.max(axis=0)) / 2.0)


def interleaved_slice_times(n_slices: int) -> Array:
    """Readout times (s) of an ascending interleaved acquisition, even slices second."""
    order = np.concatenate([np.arange(0, n_slices, 2), np.arange(1, n_slices, 2)])
    times = np.empty(n_slices)
    times[order] = np.arange(n_slices) * REPETITION_TIME_S / n_slices
    return np.round(times, 4)


def _grid(axes: Array, size_mm: tuple[float, ...], centre_mm: Array | tuple[float, ...], voxel: float) -> Grid:
    shape = tuple(round(extent / voxel) for extent in size_mm)
    affine = np.eye(4)
    affine[:3, :3] = axes * voxel
    affine[:3, 3] = np.asarray(centre_mm) - affine[:3, :3] @ ((np.array(shape) - 1.0) / 2.0)
    # NIfTI stores affines in single precision: work with what a reader will see.
    return affine.astype(np.float32).astype(float), (shape[0], shape[1], shape[2])
