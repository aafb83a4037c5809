"""Head motion: rigid registration of every volume to one reference by inverse-compositional Gauss-Newton.

The derivative of the image with respect to the six parameters is taken once, on the reference, so that an
iteration costs one interpolation and one small matrix product (Baker & Matthews 2004,
doi:10.1023/B:VISI.0000011205.11775.fd). The cost is the sum of squared differences after a free gain and
offset, as in SPM's realignment (Friston et al. 1995, doi:10.1002/hbm.460030303). Estimation never alters
data; all resampling happens once, in `resampling.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from bids_ai.preprocess.bold_geometry import apply_matrix, fwhm_to_sigma, grid_points, inside_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

# (smoothing FWHM in mm, greatest number of sample points, greatest number of iterations), coarse to fine.
# 5 mm is the smoothing SPM uses for the estimate; the coarse level widens the capture range to about a
# centimetre.
LEVELS = ((10.0, 10_000, 12), (5.0, 60_000, 20))
SLOPPY_LEVELS = ((10.0, 6_000, 8), (6.0, 15_000, 8))
TOLERANCE = 1e-3  # mm; rotations count as their displacement at HEAD_RADIUS
HEAD_RADIUS = 50.0  # mm, Power et al. 2012, doi:10.1016/j.neuroimage.2011.10.018
# Volumes are fitted in blocks of this length, each started afresh, so that threads do not change the result.
BLOCK = 16


def rigid_matrix(parameters: NDArray[Any], centre: NDArray[Any]) -> NDArray[np.float64]:
    """Build the 4 x 4 matrix of a rigid motion.

    Parameters
    ----------
    parameters : array of shape (6,)
        Translations along x, y, z (mm, RAS) and rotations about x, y, z (radians, right-handed; x first, then
        y, then z).
    centre : array of shape (3,)
        Point about which is rotated, mm.

    Returns
    -------
    array of shape (4, 4)
    """
    x, y, z = parameters[3:6]
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = about_z @ about_y @ about_x
    matrix[:3, 3] = np.asarray(parameters[:3]) + centre - matrix[:3, :3] @ centre
    return matrix


def rigid_parameters(matrix: NDArray[Any], centre: NDArray[Any]) -> NDArray[np.float64]:
    """Give the six parameters of `rigid_matrix` back (inverse for rotations below 90 degrees)."""
    rotation = matrix[:3, :3]
    translation = matrix[:3, 3] - centre + rotation @ centre
    y = -np.arcsin(np.clip(rotation[2, 0], -1, 1))
    x = np.arctan2(rotation[2, 1], rotation[2, 2])
    z = np.arctan2(rotation[1, 0], rotation[0, 0])
    return np.array([*translation, x, y, z])


def framewise_displacement(motion: NDArray[Any], radius: float = HEAD_RADIUS) -> NDArray[np.float64]:
    """Framewise displacement of Power et al. (2012), mm.

    Parameters
    ----------
    motion : array of shape (n_times, 6)
        Translations (mm) and rotations (radians).
    radius : float
        Radius of the sphere on which rotations are read as displacements, mm.

    Returns
    -------
    array of shape (n_times,)
        The first value is NaN: there is no frame before it.

    References
    ----------
    Power et al. 2012, doi:10.1016/j.neuroimage.2011.10.018
    """
    steps = np.abs(np.diff(np.asarray(motion, float), axis=0))
    return np.concatenate([[np.nan], steps[:, :3].sum(axis=1) + radius * steps[:, 3:].sum(axis=1)])


@dataclass
class _Level:
    """One resolution of the reference: sample points, steepest-descent images and their pseudo-inverse."""

    points: NDArray[np.float32]
    target: NDArray[np.float32]
    solve: NDArray[np.float32]
    sigma: NDArray[np.float64]
    max_iterations: int


@dataclass
class RigidAligner:
    """Register volumes of one grid to one reference.

    Parameters
    ----------
    reference : array of shape (nx, ny, nz)
    affine : array of shape (4, 4)
    mask : bool array of shape (nx, ny, nz)
        Where differences are counted: brain with some margin.
    levels : tuple
        Smoothing FWHM (mm), number of points and of iterations, coarse to fine.
    """

    reference: NDArray[Any]
    affine: NDArray[Any]
    mask: NDArray[Any]
    levels: tuple[tuple[float, int, int], ...] = LEVELS
    centre: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        # The centre of the grid, not of the mask: the parameters then do not hang on how the brain was
        # masked.
        middle = (np.array(self.reference.shape) - 1) / 2
        self.centre = apply_matrix(np.asarray(self.affine, float), middle[None])[0]
        self._to_voxel = np.linalg.inv(self.affine)
        self._levels = [self._prepare(*level) for level in self.levels]

    def _prepare(self, fwhm_mm: float, max_points: int, max_iterations: int) -> _Level:
        sigma = fwhm_to_sigma(fwhm_mm, self.affine)
        smooth = ndimage.gaussian_filter(np.asarray(self.reference, np.float32), sigma)
        chosen = np.flatnonzero(self.mask)
        chosen = chosen[:: max(1, -(-len(chosen) // max_points))]
        thinned = np.zeros(self.mask.shape, bool)
        thinned.flat[chosen] = True
        points = grid_points(self.mask.shape, self.affine, thinned)
        # A displacement in mm changes the value by the gradient in voxels times the inverse of the affine.
        per_voxel = np.stack([axis[thinned] for axis in np.gradient(smooth)], axis=1)
        gradient = per_voxel @ self._to_voxel[:3, :3]
        arms = points - self.centre
        target = smooth[thinned]
        # d(R(x-c))/d(angle k) = e_k x (x-c), so the rotational columns are arm x gradient.
        design = np.column_stack([gradient, np.cross(arms, gradient), target, np.ones(len(target))])
        # Gain and offset are nuisances: columns are scaled before inversion because their units differ by
        # orders.
        scale = np.sqrt((design**2).sum(axis=0)) + np.finfo(float).tiny
        solve = np.linalg.pinv(design / scale) / scale[:, None]
        return _Level(points, target, solve.astype(np.float32), sigma, max_iterations)

    def fit(self, volume: NDArray[Any], start: NDArray[Any] | None = None) -> tuple[NDArray[np.float64], float]:
        """Find the rigid matrix that maps points of the reference to points of `volume`.

        Returns
        -------
        matrix : array of shape (4, 4)
        correlation : float
            Correlation of reference and realigned volume over the sample points.
        """
        matrix = np.eye(4) if start is None else np.array(start, float)
        correlation = np.nan
        for level in self._levels:
            smooth = ndimage.gaussian_filter(np.asarray(volume, np.float32), level.sigma)
            coefficients = ndimage.spline_filter(smooth, order=3, output=np.float32, mode="mirror")
            matrix, correlation = self._descend(level, coefficients, matrix)
        return matrix, correlation

    def _descend(
        self, level: _Level, coefficients: NDArray[Any], matrix: NDArray[Any]
    ) -> tuple[NDArray[np.float64], float]:
        correlation = np.nan
        for _ in range(level.max_iterations):
            coordinates = apply_matrix((self._to_voxel @ matrix), level.points).T
            values = ndimage.map_coordinates(
                coefficients, coordinates, order=3, prefilter=False, mode="mirror", output=np.float32
            )
            inside = inside_grid(coordinates, self.reference.shape)
            residual = np.where(inside, values - level.target, 0).astype(np.float32)
            step = (level.solve @ residual)[:6].astype(float)
            matrix = matrix @ np.linalg.inv(rigid_matrix(step, self.centre))
            correlation = float(np.corrcoef(values[inside], level.target[inside])[0, 1])
            if max(np.abs(step[:3]).max(), HEAD_RADIUS * np.abs(step[3:]).max()) < TOLERANCE:
                break
        return matrix, correlation


def estimate_motion(
    volume_at: Callable[[int], NDArray[Any]],
    n_times: int,
    aligner: RigidAligner,
    *,
    n_threads: int = 1,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate the head position in every volume.

    Parameters
    ----------
    volume_at : callable
        Gives volume t as an array of shape (nx, ny, nz).
    n_times : int
    aligner : RigidAligner
        Holds the reference.
    n_threads : int
        Does not change the result.

    Returns
    -------
    matrices : array of shape (n_times, 4, 4)
        Point of the reference -> point of volume t, mm RAS.
    correlations : array of shape (n_times,)
        Correlation with the reference after realignment.
    """
    matrices = np.zeros((n_times, 4, 4))
    correlations = np.zeros(n_times)

    def fit_block(first: int) -> None:
        previous = None
        for time in range(first, min(first + BLOCK, n_times)):
            previous, correlations[time] = aligner.fit(volume_at(time), previous)
            matrices[time] = previous

    with ThreadPoolExecutor(max(1, n_threads)) as pool:
        list(pool.map(fit_block, range(0, n_times, BLOCK)))
    return matrices, correlations


def motion_parameters(matrices: NDArray[Any], centre: NDArray[Any]) -> NDArray[np.float64]:
    """Six parameters per frame, (n_times, 6): trans x y z (mm), rot x y z (radians)."""
    return np.array([rigid_parameters(matrix, centre) for matrix in matrices])
