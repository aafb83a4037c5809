"""Gauss-Newton for a shift along one axis, one value per voxel, that makes two images the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import linalg

from bids_ai.preprocess.bold_geometry import apply_matrix, grid_points
from bids_ai.preprocess.motion import rigid_matrix, rigid_parameters

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

#: Weight of the squared slope of the shift (voxels per voxel) against the squared difference of the images, in units of
#: the spread of the image. Chosen on simulated scans other than those of docs/diffusion.md.
SMOOTHNESS = 0.0125
#: Signal may pile up or thin out by up to this factor before the shift is no longer believed.
LEAST_JACOBIAN = 0.2
_CG_TOLERANCE, _CG_STEPS = 1e-2, 60
#: A stage ends when the cost falls by less than this part.
_LEAST_PROGRESS = 1e-3


@dataclass(frozen=True)
class Stage:
    """One resolution: voxels are averaged by `shrink`, images smoothed by `fwhm_voxels` of the full grid."""

    shrink: int
    fwhm_voxels: float
    iterations: int
    #: Whether the motion between the images is estimated, too; it is known well enough before the finest stage.
    motion: bool = True


class ShiftSolver:
    """Gauss-Newton at one resolution. Unknowns: a shift per voxel of the coarse grid, and five of the motion."""

    def __init__(
        self, first: NDArray[Any], second: NDArray[Any], affine: NDArray[Any], axis: int, ratio: float, stage: Stage
    ) -> None:
        self.stage, self.axis, self.ratio = stage, axis, ratio
        self.full = first.shape
        k = stage.shrink
        sigma = stage.fwhm_voxels / 2.355
        self.shape = tuple(max(1, -(-n // k)) for n in first.shape)
        self.first, self.second = (self._reduced(ndimage.gaussian_filter(image, sigma)) for image in (first, second))
        change = np.eye(4)
        change[:3, :3] *= k
        self.affine = np.asarray(affine, float) @ change
        self.to_voxel = np.linalg.inv(self.affine)
        self.points = grid_points(self.shape, self.affine).astype(float)
        self.centre = self.points.mean(axis=0)
        self.index = np.indices(self.shape, dtype=float).reshape(3, -1)
        self._slope = _derivative(self.shape, axis)
        self._rough = sum(d.T @ d for d in (_forward_difference(self.shape, a) for a in range(3)))
        self._coefficients = [
            ndimage.spline_filter(image, order=3, output=np.float32, mode="mirror")
            for image in (self.first, self.second)
        ]
        along = np.asarray(affine, float)[:3, axis]
        self.phase_axis = along / np.linalg.norm(along)

    def _reduced(self, image: NDArray[Any]) -> NDArray[np.float32]:
        k = self.stage.shrink
        return np.asarray(image[::k, ::k, ::k], np.float32)

    def solve(self, shift: NDArray[Any], moved: FloatArray) -> tuple[NDArray[np.float32], FloatArray]:
        """Improve a shift (full grid, voxels of the full grid) and the motion."""
        k = self.stage.shrink
        d = self._reduced(shift).ravel().astype(float) / k
        for _ in range(self.stage.iterations):
            residual, by_shift, by_motion = self._linearise(d, moved)
            step, turn = self._step(d, residual, by_shift, by_motion)
            d, moved, progress = self._descend(d, moved, step, turn)
            if progress < _LEAST_PROGRESS:
                break
        grown = d.reshape(self.shape) * k
        if k > 1:
            index = np.indices(self.full, dtype=np.float32) / k
            grown = ndimage.map_coordinates(grown, index, order=3, mode="nearest")
        return np.asarray(grown, np.float32), moved

    def images(self, shift: NDArray[Any], moved: FloatArray) -> tuple[NDArray[Any], NDArray[Any]]:
        """Both images with the shift undone, on the grid of the stage."""
        a, b, _, _ = self._read(np.asarray(shift, float).ravel(), moved)
        return a.reshape(self.shape), b.reshape(self.shape)

    def _read(self, d: FloatArray, moved: FloatArray) -> tuple[FloatArray, ...]:
        """Images at their shifted places times the density, and the places."""
        slope = self._slope @ d
        at_first = self.index.copy()
        at_first[self.axis] += d
        matrix = self.to_voxel @ rigid_matrix(moved, self.centre)
        at_second = apply_matrix(matrix, self.points).T
        at_second[self.axis] -= self.ratio * d
        a = self._values(0, at_first) * (1 + slope)
        b = self._values(1, at_second) * (1 - self.ratio * slope)
        return a, b, at_first, at_second

    def _values(self, which: int, at: FloatArray) -> FloatArray:
        values = ndimage.map_coordinates(self._coefficients[which], at, order=3, prefilter=False, mode="mirror")
        return np.asarray(values, float)

    def _gradient(self, which: int, at: FloatArray, axis: int) -> FloatArray:
        up, down = at.copy(), at.copy()
        up[axis] += 0.5
        down[axis] -= 0.5
        return self._values(which, up) - self._values(which, down)

    def _cost(self, d: FloatArray, moved: FloatArray) -> float:
        a, b, _, _ = self._read(d, moved)
        return float(((a - b) ** 2).sum() + SMOOTHNESS * (d @ (self._rough @ d)))

    def _linearise(self, d: FloatArray, moved: FloatArray) -> tuple[FloatArray, Any, FloatArray]:
        a, b, at_first, at_second = self._read(d, moved)
        slope = self._slope @ d
        density_a, density_b = 1 + slope, 1 - self.ratio * slope
        values_a, values_b = self._values(0, at_first), self._values(1, at_second)
        steep = density_a * self._gradient(0, at_first, self.axis)
        gradients = np.column_stack([self._gradient(1, at_second, axis) for axis in range(3)])
        steep += self.ratio * density_b * gradients[:, self.axis]
        by_shift = sparse.diags(steep) + sparse.diags(values_a + self.ratio * values_b) @ self._slope
        world = (gradients * density_b[:, None]) @ self.to_voxel[:3, :3]
        arms = self.points - self.centre
        by_motion = -np.column_stack([world, np.cross(arms, world)])
        return a - b, by_shift.tocsr(), by_motion

    def _step(
        self, d: FloatArray, residual: FloatArray, by_shift: Any, by_motion: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        # Motion along the phase-encoding axis is an even field under another name.
        allowed = np.linalg.svd(self.phase_axis[None])[2][1:]
        basis = np.zeros((6, 5))
        basis[:3, :2] = allowed.T
        basis[3:, 2:] = np.eye(3) / 50.0  # radians that move the rim of the head by a millimetre
        columns = by_motion @ basis
        normal = (by_shift.T @ by_shift + SMOOTHNESS * self._rough).tocsr()
        right = -(by_shift.T @ residual + SMOOTHNESS * (self._rough @ d))
        scale = 1 / np.maximum(normal.diagonal(), 1e-9)
        jacobi = linalg.LinearOperator(normal.shape, matvec=lambda x: scale * x)

        def solved(vector: FloatArray) -> FloatArray:
            # An inexact Newton step: the next one sees what this one left.
            return np.asarray(linalg.cg(normal, vector, rtol=_CG_TOLERANCE, maxiter=_CG_STEPS, M=jacobi)[0])

        if not self.stage.motion:
            return solved(right), np.zeros(6)
        cross = np.asarray(by_shift.T @ columns)
        through = np.column_stack([solved(column) for column in cross.T])
        alone = solved(right)
        small = columns.T @ columns - cross.T @ through + 1e-6 * np.eye(5)
        turn = np.linalg.solve(small, -columns.T @ residual - cross.T @ alone)
        return alone - through @ turn, basis @ turn

    def _descend(
        self, d: FloatArray, moved: FloatArray, step: FloatArray, turn: FloatArray
    ) -> tuple[FloatArray, FloatArray, float]:
        before = self._cost(d, moved)
        size = 1.0
        while size > 0.05:
            trial = d + size * step
            slope = self._slope @ trial
            if np.abs(slope).max() < 1 - LEAST_JACOBIAN / 2:
                turned = rigid_parameters(
                    rigid_matrix(moved, self.centre) @ rigid_matrix(size * turn, self.centre), self.centre
                )
                after = self._cost(trial, turned)
                if after < before:
                    return trial, turned, (before - after) / before
            size /= 2
        return d, moved, 0.0


def _derivative(shape: tuple[int, ...], axis: int) -> Any:
    """Central differences along an axis, one-sided at its ends, as `numpy.gradient`."""
    n = shape[axis]
    rows = sparse.lil_matrix((n, n))
    for i in range(n):
        low, high = max(i - 1, 0), min(i + 1, n - 1)
        if high > low:
            rows[i, high] += 1 / (high - low)
            rows[i, low] -= 1 / (high - low)
    return _along(rows.tocsr(), shape, axis)


def _forward_difference(shape: tuple[int, ...], axis: int) -> Any:
    n = shape[axis]
    return _along(sparse.diags([-np.ones(n), np.ones(n - 1)], [0, 1], shape=(n - 1, n)).tocsr(), shape, axis)


def _along(operator: Any, shape: tuple[int, ...], axis: int) -> Any:
    parts = [sparse.identity(n, format="csr") for n in shape]
    parts[axis] = operator
    return sparse.kron(sparse.kron(parts[0], parts[1]), parts[2]).tocsr()
