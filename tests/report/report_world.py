"""Grid of the small images of these tests."""

from __future__ import annotations

import numpy as np

# Voxel (i, j, k) of the small images lies at (2i - 20, 2j - 24, 2k - 18) mm: 21 x 25 x 19 voxels about the origin.
AFFINE = np.array([[2.0, 0, 0, -20], [0, 2, 0, -24], [0, 0, 2, -18], [0, 0, 0, 1]])
SHAPE = (21, 25, 19)


def world(shape: tuple[int, ...] = SHAPE, affine: np.ndarray = AFFINE) -> np.ndarray:
    """Return world coordinates of all voxels, shape (3, *shape)."""
    voxels = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"))
    return np.tensordot(affine[:3, :3], voxels, axes=1) + affine[:3, 3][:, None, None, None]
