"""The shells of a subject's head that a boundary-element model needs, read from its own phantom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial import ConvexHull

from bids_ai.errors import InputError
from bids_ai.simulate import grids
from bids_ai.simulate.phantom import Phantom
from bids_ai.simulate.warp import apply_affine

Array = NDArray[np.floating]

#: From the hull of the brain to the inner skull (fluid and dura) and through the skull, mm: the means of
#: `head.head_layers` in template space, times the scale of a subject's brain (about 0.93).
_MENINGES_MM, _SKULL_MM = 3.0, 6.0
#: Nothing of the scalp thinner than this; where a ray leaves through the neck or the face, the shell ends this far out.
_LEAST_SCALP_MM, _MOST_SCALP_MM = 2.5, 25.0
#: Signal of the skin's surface relative to white matter: half of what fat and skin under one voxel give at 4 mm.
_SKIN_LEVEL = 0.2
#: A ray is read from here inwards, in these steps, mm.
_FAR_MM, _STEP_MM = 190.0, 0.5
#: The skull bridges sulci and fissures narrower than this, and is smooth at this scale, degrees seen from the centre.
_CLOSING_DEG, _SMOOTH_DEG = 12.0, 6.0


@dataclass(frozen=True)
class HeadShells:
    """Three closed surfaces around one centre with the same triangles, from the inside out.

    Attributes
    ----------
    centre_mm : array, shape (3,)
        All rays start here, T1w RAS.
    inner_skull, outer_skull, skin : arrays, shape (n_vertices, 3)
        Millimetres, T1w RAS.
    triangles : array of int, shape (n_triangles, 3)
        Normals point outwards.
    """

    centre_mm: Array
    inner_skull: Array
    outer_skull: Array
    skin: Array
    triangles: NDArray[np.intp]


def head_shells(phantom: Phantom, n_vertices: int = 642) -> HeadShells:
    """Inner skull, outer skull and skin of a phantom.

    The inner skull lies on the hull of the brain, the skull has its mean thickness, the skin is where the T1w begins.
    Below the head the skin is closed through neck and face.

    Parameters
    ----------
    phantom : Phantom
    n_vertices : int
        Of each surface; 642 are as many as in an icosahedron divided three times.

    Returns
    -------
    HeadShells
    """
    centre = grids.brain_centre(phantom.brain_mask, phantom.affine)
    directions = sphere_directions(n_vertices)
    brain = _outermost(phantom.fractions["brain"], phantom.affine, centre, directions, 0.5)
    inner = np.maximum(_hull(brain, directions), brain) + _MENINGES_MM
    outer = inner + _SKULL_MM
    skin = np.clip(skin_distance(phantom, centre, directions), outer + _LEAST_SCALP_MM, outer + _MOST_SCALP_MM)
    # Rays that leave through the neck jump; the shell does not.
    skin = np.maximum(_smoothed(skin, directions, _SMOOTH_DEG), outer + _LEAST_SCALP_MM)

    def at(radius: Array) -> Array:
        return centre + radius[:, None] * directions

    return HeadShells(centre, at(inner), at(outer), at(skin), sphere_triangles(directions))


def skin_distance(phantom: Phantom, centre_mm: Array, directions: Array) -> Array:
    """Distance (mm) from a centre to where the T1w ends in given directions, shape (n,).

    Parameters
    ----------
    phantom : Phantom
    centre_mm : array, shape (3,)
    directions : array, shape (n, 3)
        Of unit length.

    Raises
    ------
    InputError
        When a ray meets nothing, as where the image holds no white matter to compare with.
    """
    white = phantom.fractions["WM"] > 0.9
    if not white.any():
        raise InputError("A T1w with white matter is wanted to find the skin; the phantom has none.")
    level = _SKIN_LEVEL * float(np.median(phantom.t1w[white]))
    return _outermost(phantom.t1w.astype(np.float32), phantom.affine, centre_mm, directions, level)


def sphere_directions(n: int) -> Array:
    """Directions spread evenly over a sphere (a Fibonacci spiral), shape (n, 3)."""
    height = 1.0 - (2.0 * np.arange(n) + 1.0) / n
    angle = np.pi * (1.0 + np.sqrt(5.0)) * np.arange(n)
    across = np.sqrt(1.0 - height**2)
    return np.stack([across * np.cos(angle), across * np.sin(angle), height], axis=1)


def sphere_triangles(directions: Array) -> NDArray[np.intp]:
    """Triangles that close a sphere of directions, normals outwards, shape (2 n - 4, 3)."""
    triangles = np.sort(ConvexHull(directions).simplices, axis=1)
    triangles = triangles[np.lexsort(triangles.T[::-1])]
    first, second, third = (directions[triangles[:, corner]] for corner in range(3))
    inwards = np.einsum("ij,ij->i", np.cross(second - first, third - first), first) < 0.0
    triangles[inwards] = triangles[inwards][:, [0, 2, 1]]
    return triangles.astype(np.intp)


def _outermost(volume: Array, affine: Array, centre: Array, directions: Array, level: float) -> Array:
    """Distance at which a ray from outside first meets `level`, between two steps by linear interpolation."""
    steps = np.arange(_FAR_MM, 0.0, -_STEP_MM)
    points = centre + steps[:, None, None] * directions
    at = np.moveaxis(apply_affine(np.linalg.inv(affine), points), -1, 0)
    values = map_coordinates(volume.astype(np.float32), at, order=1, mode="constant", cval=0.0)
    met = values >= level
    if not met.any(axis=0).all():
        raise InputError(f"A head around {np.round(centre, 1).tolist()} mm is wanted; some rays meet nothing of it.")
    first = met.argmax(axis=0)
    ray = np.arange(len(directions))
    before = np.maximum(first - 1, 0)
    here, there = values[first, ray], values[before, ray]
    part = np.where(first > 0, (here - level) / np.maximum(here - there, 1e-6), 0.0)
    return steps[first] + part * _STEP_MM


def _hull(radius: Array, directions: Array) -> Array:
    """Closing of a star-shaped surface (greatest, then least in a neighbourhood), made smooth."""
    near = directions @ directions.T >= np.cos(np.deg2rad(_CLOSING_DEG))
    greatest = np.where(near, radius, -np.inf).max(axis=1)
    closed = np.where(near, greatest, np.inf).min(axis=1)
    return _smoothed(closed, directions, _SMOOTH_DEG)


def _smoothed(radius: Array, directions: Array, sigma_deg: float) -> Array:
    """Gaussian mean over the sphere."""
    angle = np.arccos(np.clip(directions @ directions.T, -1.0, 1.0))
    weight = np.exp(-0.5 * (angle / np.deg2rad(sigma_deg)) ** 2)
    return weight @ radius / weight.sum(axis=1)
