"""Two straight bundles of fibres that cross in the middle of a cube, with grey matter at their ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_ai.connectome.harmonics import axes_on_sphere, basis
from bids_ai.connectome.tractography import FibreField

ORDER = 8
SIZE = 30
LABELS = [11, 12, 21, 22]
EDGE_MM = 2.5


def delta(axis: np.ndarray) -> np.ndarray:
    """Harmonics of a bundle: a Watson density of unit integral, half its peak left at 11 degrees."""
    axes = axes_on_sphere()
    density = np.exp(20 * ((axes @ axis) ** 2 - 1))
    return np.linalg.pinv(basis(axes, ORDER)) @ (density / (4 * np.pi * density.mean()))


@dataclass(frozen=True)
class Cross:
    field: FibreField
    parcellation: np.ndarray
    affine: np.ndarray


def cross(affine: np.ndarray) -> Cross:
    """Bundle 11-12 along the first axis of the grid, 21-22 along the second."""
    grid = np.stack(np.meshgrid(*[np.arange(SIZE)] * 3, indexing="ij"), axis=-1).astype(float)
    near = np.abs(grid - (SIZE - 1) / 2) < 3
    along_x, along_y = near[..., 1] & near[..., 2], near[..., 0] & near[..., 2]
    inside = along_x | along_y
    rotation = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    fod = along_x[..., None] * delta(rotation[:, 0]) + along_y[..., None] * delta(rotation[:, 1])
    deep = ((grid[..., :2] > 3) & (grid[..., :2] < SIZE - 4)).all(axis=-1)
    white, grey = inside & deep, inside & ~deep
    parcellation = np.zeros((SIZE,) * 3, int)
    for label, side in zip(
        LABELS, (grid[..., 0] <= 3, grid[..., 0] >= SIZE - 4, grid[..., 1] <= 3, grid[..., 1] >= SIZE - 4), strict=True
    ):
        parcellation[grey & side] = label
    field = FibreField(fod, ORDER, white * 1.0, grey * 1.0, np.zeros((SIZE,) * 3), affine)
    return Cross(field, parcellation, affine)
