"""A small head under diffusion weighting: smooth tensors in an ellipsoid, moved, sheared and distorted as wanted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from bids_ai.bids.gradients import GradientTable, check_gradients
from bids_ai.preprocess.bold_geometry import apply_matrix, grid_points
from tests.diffusion_phantom import directions

SHAPE = (22, 26, 14)
EDGE = 6.0
FINE = 2


@dataclass(frozen=True)
class Head:
    """Unweighted signal and tensors on a fine grid, and the coarse grid of the scan (world axes, mm)."""

    s0: np.ndarray
    tensors: np.ndarray  # (..., 6): xx yy zz xy xz yz, mm2/s
    fine_affine: np.ndarray
    affine: np.ndarray
    tissue: np.ndarray  # fine grid: 0 outside, 1 grey, 2 white, 3 fluid

    def signal(self, b: float, direction: np.ndarray) -> np.ndarray:
        x, y, z = direction
        weights = np.array([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z])
        return self.s0 * np.exp(-b * (self.tensors @ weights))

    def volume(
        self, b: float, direction: np.ndarray, matrix: np.ndarray, shift: np.ndarray | None = None
    ) -> np.ndarray:
        """Image of the head moved by `matrix` (head -> scanner), its signal shifted along j by `shift` voxels."""
        left, _, right = np.linalg.svd(matrix[:3, :3])
        signal = self.signal(b, (left @ right).T @ direction)
        at = grid_points(SHAPE, self.affine).astype(float)
        gain = 1.0
        if shift is not None:
            # Signal of y appears at y + shift: what lies at the voxel came from where source + shift(source) = voxel.
            index = np.indices(SHAPE, dtype=float)
            source = index.copy()
            for _ in range(20):
                source[1] = index[1] - ndimage.map_coordinates(shift, source, order=3, mode="nearest")
            slope = ndimage.map_coordinates(np.gradient(shift, axis=1), source, order=1, mode="nearest")
            gain = (1 / (1 + slope)).ravel()
            at = apply_matrix(self.affine, source.reshape(3, -1).T)
        points = apply_matrix(np.linalg.inv(self.fine_affine) @ np.linalg.inv(matrix), at)
        smooth = ndimage.gaussian_filter(signal, FINE * 0.4)
        return (gain * ndimage.map_coordinates(smooth, points.T, order=1, mode="nearest")).reshape(SHAPE)

    @property
    def brain(self) -> np.ndarray:
        points = apply_matrix(np.linalg.inv(self.fine_affine), grid_points(SHAPE, self.affine).astype(float))
        inside = (self.tissue > 0).astype(float)
        return ndimage.map_coordinates(inside, points.T, order=1).reshape(SHAPE) > 0.5


def make_head(seed: int = 0) -> Head:
    rng = np.random.default_rng(seed)
    shape = tuple(FINE * n for n in SHAPE)
    affine = np.diag([EDGE, EDGE, EDGE, 1.0])
    affine[:3, 3] = -EDGE * (np.array(SHAPE) - 1) / 2
    fine = np.diag([EDGE / FINE] * 3 + [1.0])
    fine[:3, 3] = affine[:3, 3] - EDGE / 2 + EDGE / FINE / 2
    points = grid_points(shape, fine).reshape(*shape, 3)
    radii = np.array([0.38, 0.40, 0.36]) * EDGE * np.array(SHAPE)
    distance = np.linalg.norm(points / radii, axis=-1)
    folds = ndimage.gaussian_filter(rng.standard_normal(shape), 1.5 * FINE)
    folds /= folds.std()
    tissue = np.where(distance < 1, 1, 0)
    tissue[(distance < 0.78 + 0.06 * folds)] = 2
    tissue[(distance < 0.3 + 0.05 * folds)] = 3
    s0 = np.choose(tissue, [12.0, 800.0, 600.0, 1300.0]) * (1 + 0.05 * folds)
    axis = np.stack([ndimage.gaussian_filter(rng.standard_normal(shape), 3 * FINE) for _ in range(3)], axis=-1)
    axis /= np.linalg.norm(axis, axis=-1, keepdims=True)
    across = np.choose(tissue, [0.5e-3, 0.8e-3, 0.45e-3, 3.0e-3])
    excess = np.where(tissue == 2, 1.1e-3, 0.0)
    x, y, z = np.moveaxis(axis, -1, 0)
    tensors = excess[..., None] * np.stack([x * x, y * y, z * z, x * y, x * z, y * z], axis=-1)
    tensors[..., :3] += across[..., None]
    return Head(s0, tensors, fine, affine, tissue)


def series(
    head: Head,
    matrices: np.ndarray,
    *,
    table: GradientTable | None = None,
    shift: np.ndarray | None = None,
    snr: float = 60.0,
    seed: int = 1,
) -> tuple[np.ndarray, GradientTable]:
    """Volumes (nx, ny, nz, n) of a table in FSL's convention, the head moved by `matrices`; Rician noise."""
    table = table or small_table()
    rng = np.random.default_rng(seed)
    world = table.world(head.affine)
    volumes = [head.volume(b, g, matrix, shift) for b, g, matrix in zip(table.bvals, world, matrices, strict=True)]
    data = np.stack(volumes, axis=-1)
    noise = rng.standard_normal((2, *data.shape)) * 600.0 / snr
    return np.hypot(data + noise[0], noise[1]).astype(np.float32), table


def small_table(n: int = 17, b0_at: tuple[int, ...] = (0, 10, 18), b: float = 1000) -> GradientTable:
    """Directions in random order over the whole sphere, as scanners set them; b0 volumes in between.

    On a half sphere and in order, displacement that goes with the gradient or with time looks like contrast.
    """
    rng = np.random.default_rng(4)
    spread = directions(n)[rng.permutation(n)] * rng.choice([-1.0, 1.0], n)[:, None]
    bvals, bvecs = np.full(n + len(b0_at), b), np.zeros((n + len(b0_at), 3))
    bvals[list(b0_at)] = 0
    bvecs[bvals > 0] = spread
    return check_gradients(bvals, bvecs)


def wander(n: int, seed: int = 2, size: float = 1.0) -> np.ndarray:
    """Smooth head motion from rest: (n, 6), mm and rad, about a millimetre and a degree."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.standard_normal((n, 6)), axis=0)
    walk = ndimage.gaussian_filter1d(walk, 2.0, axis=0, mode="nearest")
    walk -= walk[0]
    return size * walk / np.abs(walk).max(axis=0) * [1.0, 1.0, 1.5, 0.02, 0.015, 0.015]


def bump(strength: float = 1.6) -> np.ndarray:
    """Shift field (voxels along j): a lobe at the front, a weaker one of the other sign at the side."""
    i, j, k = np.indices(SHAPE)
    front = np.exp(-((i - 11) ** 2 + (j - 19) ** 2 + 1.5 * (k - 4) ** 2) / (2 * 4.0**2))
    side = np.exp(-((i - 5) ** 2 + (j - 10) ** 2 + 1.5 * (k - 5) ** 2) / (2 * 4.0**2))
    return strength * (front - 0.5 * side)
