"""Bringing a diffusion series to its final grid: all corrections composed, every volume interpolated once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from bids_ai.preprocess import dwi_distortion
from bids_ai.preprocess.bold_geometry import apply_matrix, grid_points, inside_grid, sample, voxel_sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

#: What the output shows around the brain, mm.
_MARGIN_MM = 8.0
#: A field by which signal is divided is not believed below this.
_LEAST_FIELD = 0.1


def output_grid(
    brain: NDArray[np.bool_], frame: NDArray[Any], affine: NDArray[Any], to_frame: NDArray[Any]
) -> tuple[tuple[int, int, int], FloatArray]:
    """Grid around the brain, along the axes of another image, with the voxels of the series.

    Parameters
    ----------
    brain : bool array
        Brain mask on the grid of `frame`.
    frame : (4, 4) array
        Of the image whose axes are taken (T1w or template).
    affine : (4, 4) array
        Of the series.
    to_frame : (4, 4) array
        Point of DWI -> point of that image.

    Returns
    -------
    shape : tuple of 3 ints
    affine : (4, 4) array
        Each axis has the voxel edge of the axis of the series that is nearest to it.
    """
    axes = np.asarray(frame, float)[:3, :3] / voxel_sizes(frame)
    series = (np.asarray(to_frame) @ affine)[:3, :3]
    edges = voxel_sizes(affine)
    nearest = np.argmax(np.abs(axes.T @ (series / edges)), axis=1)
    # Where two axes of an oblique grid claim the same one, the edges are shared out evenly.
    edge = edges[nearest] if len(set(nearest)) == 3 else np.full(3, float(np.cbrt(edges.prod())))
    coordinates = apply_matrix(np.asarray(frame, float), np.argwhere(brain).astype(float)) @ axes
    low, high = coordinates.min(axis=0) - _MARGIN_MM, coordinates.max(axis=0) + _MARGIN_MM
    shape = np.ceil((high - low) / edge).astype(int) + 1
    out = np.eye(4)
    out[:3, :3] = axes * edge
    out[:3, 3] = axes @ low
    return (int(shape[0]), int(shape[1]), int(shape[2])), out


@dataclass(frozen=True)
class Target:
    """Points of the output in the undistorted reference of the series, and what happens to signal there.

    Attributes
    ----------
    points : (n, 3) array
        World points of the reference, mm.
    displacement : (n, 3) array
        By which the susceptibility field moves the signal, mm.
    gain : (n,) array
        By which signal is multiplied: density of the distortion over the receive field.
    """

    points: NDArray[np.float32]
    displacement: NDArray[np.float32]
    gain: NDArray[np.float32]


def make_target(
    points: NDArray[Any], affine: NDArray[Any], shift: NDArray[Any], axis: int | None, field: NDArray[Any] | None
) -> Target:
    """Look up distortion and receive field at points of the reference.

    Parameters
    ----------
    points : (n, 3) array
    affine : (4, 4) array
        Of the series.
    shift : (nx, ny, nz) array
        Voxels along `axis`.
    axis : int or None
        Phase-encoding axis; None: no distortion is known.
    field : (nx, ny, nz) array, optional
        Receive field.
    """
    points = np.asarray(points, np.float32)
    displacement = np.zeros_like(points)
    gain = np.ones(len(points), np.float32)
    if axis is not None and np.any(shift):
        at = _nearest_inside(points, affine, shift.shape)
        displacement = sample(shift, affine, at)[:, None] * np.asarray(affine, np.float32)[:3, axis]
        gain = sample(dwi_distortion.jacobian(shift, axis), affine, at)
    if field is not None:
        gain = gain / np.maximum(sample(field, affine, _nearest_inside(points, affine, field.shape)), _LEAST_FIELD)
    return Target(points, displacement.astype(np.float32), gain.astype(np.float32))


def _nearest_inside(points: NDArray[Any], affine: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Move points outside a grid to its nearest edge: fields go on beyond it."""
    voxels = apply_matrix(np.linalg.inv(affine), np.asarray(points, float))
    inside = np.clip(voxels, 0, np.array(shape) - 1.0)
    return apply_matrix(np.asarray(affine, float), inside).astype(np.float32)


def resample(
    volume_at: Callable[[int], NDArray[Any]],
    affine: NDArray[Any],
    matrices: FloatArray,
    target: Target,
    phase_axis: NDArray[Any] | None = None,
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Read every volume once, by cubic spline, at its motion, eddy-current and susceptibility displacement.

    Parameters
    ----------
    volume_at : callable
        Gives volume v, shape (nx, ny, nz).
    affine : (4, 4) array
    matrices : (n_volumes, 4, 4) array
        Reference -> volume.
    target : Target
    phase_axis : (3,) array, optional
        Unit vector of phase encoding: eddy currents that stretch along it thin out the signal.

    Yields
    ------
    values : (n,) array
        Not negative; 0 outside the field of view.
    seen : (n,) bool array
        Inside the field of view.
    """
    to_voxel = np.linalg.inv(affine)
    for volume, matrix in enumerate(matrices):
        data = np.asarray(volume_at(volume), np.float32)
        at = apply_matrix(to_voxel, apply_matrix(matrix, target.points) + target.displacement).T
        values = ndimage.map_coordinates(data, at, order=3, mode="nearest", output=np.float32)
        seen = inside_grid(at, data.shape)
        stretch = 1.0 if phase_axis is None else float(np.linalg.det(matrix[:3, :3]))
        yield np.where(seen, np.maximum(values * target.gain * np.float32(stretch), 0), 0), seen


def grid_in_series(shape: tuple[int, int, int], affine: NDArray[Any], to_frame: NDArray[Any]) -> NDArray[np.float32]:
    """World points of an output grid, in the reference of the series: (n, 3)."""
    return apply_matrix(np.linalg.inv(to_frame), grid_points(shape, affine).astype(float)).astype(np.float32)
