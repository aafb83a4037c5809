"""Signed distances of simple bodies, from which the parts of a head are made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def ellipsoid(points: Array, centre: Sequence[float], radii: Sequence[float]) -> Array:
    """Approximate signed distance (mm, negative inside) to an ellipsoid; exact on its surface.

    Parameters
    ----------
    points : array, shape (..., 3)
        Millimetres.
    centre, radii : sequences of 3 floats
        Millimetres.

    Returns
    -------
    array, shape (...)
    """
    offset = points - np.asarray(centre, points.dtype)
    scale = np.asarray(radii, points.dtype)
    near = np.sqrt(np.sum((offset / scale) ** 2, axis=-1))
    slope = np.sqrt(np.sum((offset / scale**2) ** 2, axis=-1))
    return near * (near - 1.0) / np.maximum(slope, 1e-6)


def capsule(
    points: Array, start: Sequence[float], end: Sequence[float], radius: float, *, flatness: float = 1.0
) -> Array:
    """Signed distance (mm, negative inside) to a rod with round ends.

    Parameters
    ----------
    points : array, shape (..., 3)
        Millimetres.
    start, end : sequences of 3 floats
        Ends of the axis, mm.
    radius : float
        Millimetres along y; along x it is ``radius * flatness``.
    flatness : float
        Width over depth of the cross-section.

    Returns
    -------
    array, shape (...)
    """
    squash = np.array([1.0 / flatness, 1.0, 1.0], points.dtype)
    first = np.asarray(start, points.dtype) * squash
    axis = np.asarray(end, points.dtype) * squash - first
    offset = points * squash - first
    along = np.clip(offset @ axis / (axis @ axis), 0.0, 1.0)
    return np.linalg.norm(offset - along[..., None] * axis, axis=-1) - radius


def blend(first: Array, second: Array, width: float) -> Array:
    """Union of two bodies with a fillet of the given width (mm) where they meet."""
    weight = np.clip(0.5 + 0.5 * (second - first) / width, 0.0, 1.0)
    return second * (1.0 - weight) + first * weight - width * weight * (1.0 - weight)


def inside(distance: Array, voxel_mm: float) -> Array:
    """Fraction of a voxel inside a body, from the signed distance at its centre."""
    return np.clip(0.5 - distance / voxel_mm, 0.0, 1.0)


def between(distance: Array, inner: Array | float, outer: Array | float, voxel_mm: float) -> Array:
    """Fraction of a voxel in the shell from `inner` to `outer` (mm from a surface)."""
    return inside(distance - outer, voxel_mm) * (1.0 - inside(distance - inner, voxel_mm))


class Ripple:
    """A smooth field of unit variance made of a few long plane waves: thickness that is not uniform."""

    def __init__(self, rng: np.random.Generator, wavelength_mm: float, n_waves: int = 6) -> None:
        direction = rng.standard_normal((n_waves, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        self.vectors = 2.0 * np.pi * direction / (wavelength_mm * rng.uniform(0.7, 1.5, (n_waves, 1)))
        self.phases = rng.uniform(0.0, 2.0 * np.pi, n_waves)

    def __call__(self, points: Array) -> Array:
        """Values at points of shape (..., 3) in mm."""
        total = np.zeros(points.shape[:-1], points.dtype)
        for vector, phase in zip(self.vectors, self.phases, strict=True):
            total += np.cos(points @ vector.astype(points.dtype) + points.dtype.type(phase))
        return total * points.dtype.type(np.sqrt(2.0 / len(self.phases)))
