"""Where a volume lies against its prediction: rigid motion, and the shear and scaling that eddy currents add.

Inverse-compositional Gauss-Newton as in `motion.py`, with up to three more unknowns: eddy currents displace along the
phase-encoding axis only, in proportion to the position in the scanner (Haselgrove & Moore 1996,
doi:10.1002/mrm.1910360620).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from bids_ai.preprocess.bold_geometry import apply_matrix, fwhm_to_sigma, grid_points, inside_grid
from bids_ai.preprocess.motion import HEAD_RADIUS, rigid_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

#: mm; all unknowns count as their displacement at `HEAD_RADIUS`.
_TOLERANCE = 2e-3


@dataclass(frozen=True)
class Level:
    """Smoothing (FWHM, mm), greatest numbers of sample points and of iterations."""

    fwhm_mm: float
    points: int
    iterations: int


def eddy_matrix(slopes: NDArray[Any], axis: NDArray[Any], centre: NDArray[Any]) -> FloatArray:
    """Displacement along `axis` that grows with the position.

    Parameters
    ----------
    slopes : (3,) or (4,) array
        Displacement per mm along x, y, z of the scanner; then that of the centre, mm.
    axis : (3,) array
        Unit vector of phase encoding, scanner.
    centre : (3,) array
        Where the slopes displace nothing, mm.

    Returns
    -------
    (4, 4) array
    """
    slopes, axis = np.asarray(slopes, float), np.asarray(axis, float)
    matrix = np.eye(4)
    matrix[:3, :3] += np.outer(axis, slopes[:3])
    matrix[:3, 3] = axis * (float(slopes[3:].sum()) - float(np.dot(slopes[:3], centre)))
    return matrix


def split(matrix: NDArray[Any], axis: NDArray[Any], centre: NDArray[Any]) -> tuple[FloatArray, FloatArray]:
    """Take an affine matrix apart into a rigid one and the slopes of `eddy_matrix`, applied after it.

    Returns
    -------
    rigid : (4, 4) array
    slopes : (3,) array
    """
    axis = np.asarray(axis, float)
    across = np.linalg.svd(axis[None])[2][1:]  # two directions that eddy currents leave alone
    kept = across @ matrix[:3, :3]
    left, _, right = np.linalg.svd(kept, full_matrices=False)
    kept = left @ right
    along = np.cross(kept[0], kept[1]) * np.sign(np.dot(axis, np.cross(across[0], across[1])))
    rotation = np.outer(axis, along) + across.T @ kept
    slopes = rotation @ matrix[:3, :3].T @ axis - axis
    rigid = np.linalg.inv(eddy_matrix(slopes, axis, centre)) @ matrix
    rigid[:3, :3] = rotation
    return rigid, slopes


class PredictionAligner:
    """Register one volume to its prediction on the same grid.

    Parameters
    ----------
    prediction : (nx, ny, nz) array
    affine : (4, 4) array
    mask : (nx, ny, nz) bool array
        Where differences are counted.
    level : Level
    phase_axis : (3,) array, optional
        Unit vector of phase encoding; given, shear and scaling along it are estimated, too.
    """

    def __init__(
        self,
        prediction: NDArray[Any],
        affine: NDArray[Any],
        mask: NDArray[Any],
        level: Level,
        phase_axis: NDArray[Any] | None = None,
    ) -> None:
        self.affine = np.asarray(affine, float)
        self.centre = apply_matrix(self.affine, (np.array(prediction.shape) - 1)[None] / 2)[0]
        self.level = level
        self.phase_axis = None if phase_axis is None else np.asarray(phase_axis, float)
        self._to_voxel = np.linalg.inv(self.affine)
        self._sigma = fwhm_to_sigma(level.fwhm_mm, self.affine)
        smooth = ndimage.gaussian_filter(np.asarray(prediction, np.float32), self._sigma)
        chosen = np.flatnonzero(mask)
        chosen = chosen[:: max(1, -(-len(chosen) // level.points))]
        thinned = np.zeros(mask.shape, bool)
        thinned.flat[chosen] = True
        self._points = grid_points(mask.shape, self.affine, thinned)
        self._target = smooth[thinned]
        # Slopes along the grid at the chosen points only: the whole gradient would take longer than the fit.
        gradient = _slopes(smooth, chosen) @ self._to_voxel[:3, :3]
        arms = self._points - self.centre
        columns = [gradient, np.cross(arms, gradient)]
        if self.phase_axis is not None:
            columns.append(arms * (gradient @ self.phase_axis)[:, None])
        # Gain and offset are nuisances.
        design = np.column_stack([*columns, self._target, np.ones(len(self._target))])
        scale = np.sqrt((design**2).sum(axis=0)) + np.finfo(float).tiny
        design /= scale
        normal = design.T @ design + 1e-9 * np.eye(design.shape[1])
        self._solve = (np.linalg.solve(normal, design.T) / scale[:, None]).astype(np.float32)

    def fit(self, volume: NDArray[Any], start: NDArray[Any]) -> tuple[FloatArray, float]:
        """Find the matrix that maps points of the prediction to points of `volume`.

        Returns
        -------
        matrix : (4, 4) array
        correlation : float
            Of prediction and realigned volume.
        """
        smooth = ndimage.gaussian_filter(np.asarray(volume, np.float32), self._sigma)
        coefficients = ndimage.spline_filter(smooth, order=3, output=np.float32, mode="mirror")
        matrix, correlation = np.array(start, float), float("nan")
        for _ in range(self.level.iterations):
            coordinates = apply_matrix(self._to_voxel @ matrix, self._points).T
            values = ndimage.map_coordinates(
                coefficients, coordinates, order=3, prefilter=False, mode="mirror", output=np.float32
            )
            inside = inside_grid(coordinates, volume.shape)
            residual = np.where(inside, values - self._target, 0).astype(np.float32)
            step = (self._solve @ residual).astype(float)
            matrix = matrix @ np.linalg.inv(self._step(step))
            correlation = float(np.corrcoef(values[inside], self._target[inside])[0, 1])
            size = np.abs(step[:3]).max(), HEAD_RADIUS * np.abs(step[3 : len(step) - 2]).max()
            if max(size) < _TOLERANCE:
                break
        return matrix, correlation

    def _step(self, step: FloatArray) -> FloatArray:
        rigid = rigid_matrix(step[:6], self.centre)
        if self.phase_axis is None:
            return rigid
        return eddy_matrix(step[6:9], self.phase_axis, self.centre) @ rigid


def _slopes(volume: NDArray[Any], chosen: NDArray[np.intp]) -> NDArray[np.float32]:
    """Central differences along the axes of the grid at flat indices: (n, 3)."""
    index = np.array(np.unravel_index(chosen, volume.shape))
    slopes = np.empty((len(chosen), 3), np.float32)
    for axis, n in enumerate(volume.shape):
        up, down = index.copy(), index.copy()
        up[axis] = np.minimum(index[axis] + 1, n - 1)
        down[axis] = np.maximum(index[axis] - 1, 0)
        slopes[:, axis] = (volume[tuple(up)] - volume[tuple(down)]) / (up[axis] - down[axis])
    return slopes
