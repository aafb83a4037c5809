"""Bundles that give way to each other: no voxel holds more fibres than it has white matter, as far as can be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.sparse import csr_array, diags_array

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
#: Rounds in which full voxels pass fibres on, part of the excess that leaves in one, and the part of white matter that
#: a voxel needs to take any.
_PASSES = 24
_PASSED = 0.7
_TAKES = 0.2
#: Fibres of less than that part of a voxel are not followed further.
_TRACE = 1e-4


def widened(amounts: csr_array, white: Array, columns_of_volume: slice) -> csr_array:
    """Let voxels that hold more fibres than white matter pass them on to neighbours with room.

    Where many bundles meet each becomes wider, and none loses fibres on its way: axons do not end for want of room.

    Parameters
    ----------
    amounts : sparse array, shape (n_voxels, n_columns)
        What moves with the fibres; the columns of `columns_of_volume` are parts of the voxel's volume.
    white : array, shape (nx, ny, nz)
        White-matter fraction.
    columns_of_volume : slice

    Returns
    -------
    sparse array, shape of `amounts`
    """
    capacity = white.ravel()
    pairs = _neighbours(white > _TAKES)
    for _ in range(_PASSES):
        total = np.asarray(amounts[:, columns_of_volume].sum(axis=1)).ravel()
        excess = np.maximum(total - capacity, 0.0)
        room = np.maximum(capacity - total, 0.0) + 0.02 * capacity
        leaves = _PASSED * excess / np.maximum(total, 1e-9)
        source, target = pairs[:, leaves[pairs[0]] > 0.0]
        if len(source) == 0:
            break
        offered = np.bincount(source, room[target], len(total))
        stuck = offered <= 0.0
        leaves[stuck] = 0.0
        share = leaves[source] * room[target] / np.maximum(offered[source], 1e-12)
        move = csr_array((share, (target, source)), shape=(len(total),) * 2)
        amounts = csr_array((diags_array(1.0 - leaves) + move) @ amounts)
        amounts.data[np.abs(amounts.data) < _TRACE] = 0.0
        amounts.eliminate_zeros()
    return amounts


def _neighbours(inside: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Pairs of voxels that share a face, both ways, as flat indices, shape (2, n_pairs)."""
    index = np.arange(inside.size).reshape(inside.shape)
    found = []
    for axis in range(3):
        low, high = np.delete(index, -1, axis), np.delete(index, 0, axis)
        both = inside.ravel()[low] & inside.ravel()[high]
        found += [np.stack([low[both], high[both]]), np.stack([high[both], low[both]])]
    return np.concatenate(found, axis=1)


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
