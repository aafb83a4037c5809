"""Slices that lost signal, because the head moved while they were read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_ai.preprocess.bold_geometry import apply_matrix, grid_points, sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

#: A slice is an outlier when its mean lies this many standard deviations below what the other volumes predict, as in
#: eddy (Andersson et al. 2016, doi:10.1016/j.neuroimage.2016.06.058),
LEAST_Z = 4.0
#: and by at least this part of the signal: where all volumes agree closely, 4 standard deviations are next to nothing.
LEAST_LOSS = 0.08
#: Fewer voxels of brain in a slice say nothing.
_LEAST_VOXELS = 40
_MAD_TO_SD = 1.4826


@dataclass
class SliceOutliers:
    """Slices with signal drop-out.

    Attributes
    ----------
    z : (n_volumes, n_slices) array
        Mean residual of the slice in robust standard deviations over volumes; NaN where not known.
    loss : (n_volumes, n_slices) array
        Part of the predicted signal that is missing; NaN where not known.
    outlier : (n_volumes, n_slices) bool array
    substitutes : dict
        By volume with an outlier: what is predicted, on the grid of the volume.
    axis : int
        Of the slices.
    """

    z: FloatArray
    loss: FloatArray
    outlier: NDArray[np.bool_]
    substitutes: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    axis: int = 2

    @classmethod
    def none(cls, n_volumes: int, n_slices: int, axis: int = 2) -> SliceOutliers:
        """Nothing is known, nothing is an outlier."""
        empty = np.full((n_volumes, n_slices), np.nan)
        return cls(empty, empty.copy(), np.zeros((n_volumes, n_slices), bool), {}, axis)

    def replaced(self, volume: int, data: NDArray[Any]) -> NDArray[Any]:
        """Give a volume with its outlier slices replaced by their predictions."""
        if volume not in self.substitutes:
            return data
        where = [slice(None)] * 3
        where[self.axis] = np.flatnonzero(self.outlier[volume])  # type: ignore[call-overload]
        out = np.array(data, np.float32)
        out[tuple(where)] = self.substitutes[volume][tuple(where)]
        return out


class SliceFinder:
    """Gather, volume by volume, how the slices differ from what was predicted.

    Parameters
    ----------
    mask : (nx, ny, nz) bool array
        Brain in the reference.
    affine : (4, 4) array
    axis : int
        Voxel axis of the slices.
    n_volumes : int
    """

    def __init__(self, mask: NDArray[np.bool_], affine: NDArray[Any], axis: int, n_volumes: int) -> None:
        self.mask, self.affine, self.axis = mask.astype(np.float32), np.asarray(affine, float), axis
        self.loss = np.full((n_volumes, mask.shape[axis]), np.nan)
        self._points = grid_points(mask.shape, self.affine)
        self._predicted: dict[int, tuple[NDArray[np.float32], FloatArray, float]] = {}

    def add(self, volume: int, data: NDArray[Any], prediction: NDArray[Any], matrix: NDArray[Any]) -> None:
        """Compare a volume with its prediction, which lies in the reference; `matrix` maps reference to volume."""
        points = apply_matrix(np.linalg.inv(matrix), self._points)
        expected = sample(prediction, self.affine, points).reshape(self.mask.shape)
        inside = sample(self.mask, self.affine, points).reshape(self.mask.shape) > 0.5
        others = tuple(axis for axis in range(3) if axis != self.axis)
        seen = np.where(inside, data, 0).sum(axis=others, dtype=float)
        wanted = np.where(inside, expected, 0).sum(axis=others, dtype=float)
        enough = (inside.sum(axis=others) >= _LEAST_VOXELS) & (wanted > 0)
        self.loss[volume, enough] = 1 - seen[enough] / wanted[enough]
        self._predicted[volume] = (prediction, matrix, 1.0)

    def find(self, groups: list[NDArray[np.intp]]) -> SliceOutliers:
        """Score the slices against the same slice in the other volumes of a group."""
        z = np.full(self.loss.shape, np.nan)
        for volumes in groups:
            z[volumes] = _scores(self.loss[volumes])
        with np.errstate(invalid="ignore"):
            outlier = (z > LEAST_Z) & (self.loss > LEAST_LOSS)
        found = SliceOutliers(-z, self.loss, outlier, {}, self.axis)
        for volume in np.flatnonzero(outlier.any(axis=1)):
            prediction, matrix, _ = self._predicted[int(volume)]
            points = apply_matrix(np.linalg.inv(matrix), self._points)
            values = sample(prediction, self.affine, points, order=1)
            found.substitutes[int(volume)] = values.reshape(self.mask.shape)
        return found


def _scores(loss: FloatArray) -> FloatArray:
    """Robust z of each slice over volumes; the spread is not below the median one of all slices."""
    if np.isnan(loss).all():
        return loss
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # slices without brain stay NaN
        centre = np.nanmedian(loss, axis=0)
        spread = _MAD_TO_SD * np.nanmedian(np.abs(loss - centre), axis=0)
        floor = float(np.nanmedian(spread))
    return np.asarray((loss - centre) / np.maximum(np.maximum(spread, floor), 1e-6))
