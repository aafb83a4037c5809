"""Fixels: the separate fibre populations of each voxel, with direction and density, as lobes of its FOD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_ai.connectome.harmonics import FloatArray, axes_on_sphere, basis

#: Lobes below that part of a voxel's largest are noise of the deconvolution (Dell'Acqua et al. 2013 use 5 to 10 %).
_RELATIVE = 0.1
#: Lobes below that part of one pure bundle are nothing.
_ABSOLUTE = 0.05
_PER_VOXEL = 3
_NEIGHBOURS = 8
_VOXELS_AT_ONCE = 10_000


@dataclass(frozen=True)
class Fixels:
    """Fibre populations of all voxels in one list, voxel after voxel.

    Attributes
    ----------
    axes : (n_fixels, 3) array
        Unit vectors, in the axes of the FOD.
    density : (n_fixels,) array
        Integral of the lobe; 1 is a voxel of one pure bundle.
    start, count : (nx, ny, nz) int arrays
        Where a voxel's fixels begin, and how many it has, at most three, largest first.
    """

    axes: FloatArray
    density: FloatArray
    start: npt.NDArray[np.int64]
    count: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.density)


def find_fixels(fod: npt.NDArray[Any], order: int, mask: npt.NDArray[Any]) -> Fixels:
    """Segment the FODs of the voxels of a mask into lobes.

    Every direction belongs to the peak that climbing the FOD from it reaches (as Smith et al. 2013,
    doi:10.1016/j.neuroimage.2012.11.049, section 2.2).

    Parameters
    ----------
    fod : (nx, ny, nz, n_coefficients) array
    order : int
    mask : (nx, ny, nz) bool array

    Returns
    -------
    Fixels
    """
    axes = axes_on_sphere()
    values = basis(axes, order)
    cosines = np.abs(axes @ axes.T)
    # The nearest axes and the axis itself, so that a peak climbs to itself.
    near = np.argsort(-cosines, axis=1)[:, : _NEIGHBOURS + 1]
    voxels = np.flatnonzero(mask)
    flat = np.asarray(fod).reshape(-1, fod.shape[-1])
    parts = [
        _lobes(np.maximum(flat[voxels[start : start + _VOXELS_AT_ONCE]] @ values.T, 0), near)
        for start in range(0, len(voxels), _VOXELS_AT_ONCE)
    ]
    densities = np.concatenate([density for density, _ in parts]) if parts else np.zeros((0, _PER_VOXEL))
    peaks = np.concatenate([peak for _, peak in parts]) if parts else np.zeros((0, _PER_VOXEL), int)
    kept = (densities > _ABSOLUTE) & (densities > _RELATIVE * densities[:, :1])
    count, start = np.zeros(mask.shape, np.int64), np.zeros(mask.shape, np.int64)
    count.flat[voxels] = kept.sum(axis=1)
    start.flat[voxels] = np.cumsum(kept.sum(axis=1)) - kept.sum(axis=1)
    return Fixels(axes[peaks[kept]], densities[kept], start, count)


def _lobes(amplitudes: FloatArray, near: npt.NDArray[np.intp]) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Density and peak axis of the three largest lobes of each voxel, (n_voxels, 3) each, largest first."""
    n_voxels, n_axes = amplitudes.shape
    uphill = np.take_along_axis(
        np.broadcast_to(near, (n_voxels, *near.shape)), amplitudes[:, near].argmax(axis=2)[..., None], axis=2
    )[..., 0]
    while True:
        further = np.take_along_axis(uphill, uphill, axis=1)
        if np.array_equal(further, uphill):
            break
        uphill = further
    # Mean over evenly spread axes times the sphere.
    density = np.zeros((n_voxels, n_axes))
    np.add.at(density, (np.arange(n_voxels)[:, None], uphill), amplitudes * (4 * np.pi / n_axes))
    largest = np.argsort(-density, axis=1)[:, :_PER_VOXEL]
    return np.take_along_axis(density, largest, axis=1), largest


def fixel_of(
    fixels: Fixels, voxels: npt.NDArray[Any], tangents: npt.NDArray[Any], least_cosine: float
) -> npt.NDArray[np.int64]:
    """Fixel that runs nearest to a direction in a voxel; -1 where none is within the angle.

    Parameters
    ----------
    fixels : Fixels
    voxels : (n, 3) int array
        On the grid.
    tangents : (n, 3) array
        Unit vectors.
    least_cosine : float
    """
    index = tuple(np.asarray(voxels).T)
    start, count = fixels.start[index], fixels.count[index]
    best, found = np.full(len(start), least_cosine), np.full(len(start), -1, np.int64)
    for place in range(_PER_VOXEL):
        rows = np.flatnonzero(count > place)
        fixel = start[rows] + place
        cosine = np.abs((fixels.axes[fixel] * tangents[rows]).sum(axis=1))
        nearer = cosine > best[rows]
        best[rows[nearer]], found[rows[nearer]] = cosine[nearer], fixel[nearer]
    return found
