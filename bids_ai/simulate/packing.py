"""Bundles that give way to each other: no voxel holds more fibres than it has white matter, as far as can be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from bids_ai.simulate.head import TemplateBrain, sample
from bids_ai.simulate.phantom import voxel_centres
from bids_ai.simulate.warp import apply_affine

Array = NDArray[np.floating]

#: Grid on which crowding is counted, mm.
_GRID_MM = 2.5
#: Rounds, and the farthest a point moves in one, mm.
_ROUNDS = 12
_STEP_MM = 1.0
#: Crowding (volume of fibres beyond that of white matter) per millimetre at which a point moves half as far.
_HALF = 0.05


def give_way(brain: TemplateBrain, strands: Array, areas_mm2: Array, settle: Callable[[Array], Array]) -> Array:
    """Move strands out of crowded places.

    Parameters
    ----------
    brain : TemplateBrain
    strands : array, shape (n_strands, n_points, 3)
        Template mm.
    areas_mm2 : array, shape (n_strands,)
        Cross-section that each strand stands for.
    settle : callable
        Smooths strands and takes them back into white matter, ends in place.

    Returns
    -------
    array, shape of `strands`
    """
    extent = np.array(brain.tissues["WM"].shape) * np.abs(np.diag(brain.affine)[:3])
    affine = np.diag([_GRID_MM] * 3 + [1.0])
    affine[:3, 3] = brain.affine[:3, 3]
    shape = tuple(int(n) for n in np.ceil(extent / _GRID_MM))
    white = gaussian_filter(sample(brain.tissues["WM"], brain.affine, voxel_centres(affine, shape)), 0.6)
    inverse = np.linalg.inv(affine)
    window = np.minimum(np.sin(np.pi * np.linspace(0.0, 1.0, strands.shape[1])) * 4.0, 1.0)[:, None]
    for _ in range(_ROUNDS):
        tangent = np.gradient(strands, axis=1)
        spacing = np.linalg.norm(tangent, axis=-1, keepdims=True)
        tangent /= np.maximum(spacing, 1e-6)
        at = apply_affine(inverse, strands)
        volume = areas_mm2[:, None] * spacing[..., 0] / _GRID_MM**3
        crowded = gaussian_filter(np.maximum(_histogram(at, volume, shape) - white, 0.0), 1.2)
        places = np.moveaxis(at, -1, 0)
        slope = np.stack([map_coordinates(part, places, order=1) for part in np.gradient(crowded, _GRID_MM)], axis=-1)
        slope -= (slope * tangent).sum(axis=-1, keepdims=True) * tangent
        steepness = np.linalg.norm(slope, axis=-1, keepdims=True)
        strands = settle(strands - _STEP_MM * window * slope / (steepness + _HALF))
    return strands


def _histogram(at: Array, volume: Array, shape: tuple[int, ...]) -> Array:
    """Volume of fibres in every voxel, a little smoothed: strands are lines for what is a tube."""
    index = np.clip(np.rint(at).astype(int), 0, np.array(shape) - 1)
    flat = np.ravel_multi_index(tuple(np.moveaxis(index, -1, 0)), shape)
    total = np.bincount(flat.ravel(), volume.ravel(), int(np.prod(shape)))
    return gaussian_filter(total.reshape(shape), 0.6)
