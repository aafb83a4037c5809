"""Geometry of a head as nested closed surfaces around one centre, and the boundary elements made of them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial import ConvexHull

from bids_ai.errors import InputError

Array = NDArray[np.floating]

#: Brain, skull, scalp, S/m. Skull and scalp are the weighted means of McCann et al. 2019,
#: doi:10.1007/s10548-019-00710-2; the one brain lies between their grey (0.47) and white matter (0.22).
CONDUCTIVITY_S_PER_M = (0.33, 0.02, 0.41)
#: A ray is read from here inwards, in these steps, mm.
_FAR_MM, _STEP_MM = 190.0, 0.5
#: The skull bridges sulci and fissures narrower than this, and is smooth at this scale, degrees seen from the centre.
_CLOSING_DEG, SMOOTH_DEG = 12.0, 6.0


@dataclass(frozen=True)
class HeadShells:
    """Three closed surfaces around one centre with the same triangles, from the inside out.

    Attributes
    ----------
    centre_mm : array, shape (3,)
        All rays start here, RAS of an image of the head.
    inner_skull, outer_skull, skin : arrays, shape (n_vertices, 3)
        Millimetres, RAS of the same image.
    triangles : array of int, shape (n_triangles, 3)
        Normals point outwards.
    """

    centre_mm: Array
    inner_skull: Array
    outer_skull: Array
    skin: Array
    triangles: NDArray[np.intp]


def shells_of_radii(
    centre_mm: Array, directions: Array, inner_mm: Array, outer_mm: Array, skin_mm: Array
) -> HeadShells:
    """Shells of given distances from the centre.

    Parameters
    ----------
    centre_mm : array, shape (3,)
    directions : array, shape (n_vertices, 3)
        Of unit length (`sphere_directions`).
    inner_mm, outer_mm, skin_mm : arrays, shape (n_vertices,)

    Returns
    -------
    HeadShells
    """

    def at(radius: Array) -> Array:
        return centre_mm + radius[:, None] * directions

    return HeadShells(centre_mm, at(inner_mm), at(outer_mm), at(skin_mm), sphere_triangles(directions))


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


def outermost(volume: Array, affine: Array, centre: Array, directions: Array, level: float) -> Array:
    """Distance (mm) at which a ray from outside first meets `level`, between two steps by linear interpolation.

    Parameters
    ----------
    volume : array, shape (nx, ny, nz)
    affine : array, shape (4, 4)
    centre : array, shape (3,)
        Millimetres.
    directions : array, shape (n, 3)
        Of unit length.
    level : float

    Returns
    -------
    array, shape (n,)

    Raises
    ------
    InputError
        When a ray meets nothing.
    """
    steps = np.arange(_FAR_MM, 0.0, -_STEP_MM)
    points = centre + steps[:, None, None] * directions
    at = np.moveaxis(_placed(np.linalg.inv(affine), points), -1, 0)
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


def hull(radius: Array, directions: Array) -> Array:
    """Closing of a star-shaped surface (greatest, then least in a neighbourhood), made smooth."""
    near = directions @ directions.T >= np.cos(np.deg2rad(_CLOSING_DEG))
    greatest = np.where(near, radius, -np.inf).max(axis=1)
    closed = np.where(near, greatest, np.inf).min(axis=1)
    return smoothed(closed, directions, SMOOTH_DEG)


def smoothed(radius: Array, directions: Array, sigma_deg: float) -> Array:
    """Gaussian mean over the sphere."""
    angle = np.arccos(np.clip(directions @ directions.T, -1.0, 1.0))
    weight = np.exp(-0.5 * (angle / np.deg2rad(sigma_deg)) ** 2)
    return weight @ radius / weight.sum(axis=1)


def inside_inner_skull(points_mm: Array, shells: HeadShells, clearance_mm: float) -> Array:
    """Points no nearer to the inner skull than the clearance, moved along the ray from the centre.

    Parameters
    ----------
    points_mm : array, shape (n, 3)
    shells : HeadShells
    clearance_mm : float

    Returns
    -------
    array, shape (n, 3)
    """
    offset = points_mm - shells.centre_mm
    radius = np.linalg.norm(offset, axis=1)
    directions = offset / np.maximum(radius, 1e-9)[:, None]
    limit = _shell_radius(directions, shells) - clearance_mm
    moved: Array = shells.centre_mm + directions * np.minimum(radius, limit)[:, None]
    return moved


def conductor(shells: HeadShells) -> Any:
    """Boundary elements of the shells (`mne.bem.ConductorModel`); MNE checks that they are closed and nested."""
    import mne

    surfaces = {"inner_skull": shells.inner_skull, "outer_skull": shells.outer_skull, "outer_skin": shells.skin}
    with tempfile.TemporaryDirectory() as subjects:
        where = Path(subjects) / "patient" / "bem"
        where.mkdir(parents=True)
        for name, vertices in surfaces.items():
            mne.write_surface(where / f"{name}.surf", vertices, shells.triangles, verbose="error")
        model = mne.make_bem_model(
            "patient", ico=None, conductivity=CONDUCTIVITY_S_PER_M, subjects_dir=subjects, verbose="error"
        )
    return mne.make_bem_solution(model, verbose="error")


def _placed(affine: Array, points: Array) -> Array:
    """Points of shape (..., 3) under a 4 x 4 affine."""
    return points @ affine[:3, :3].T.astype(points.dtype) + affine[:3, 3].astype(points.dtype)


def _shell_radius(directions: Array, shells: HeadShells) -> Array:
    """Least distance to the inner skull among the vertices around a direction."""
    rays = shells.inner_skull - shells.centre_mm
    length = np.linalg.norm(rays, axis=1)
    nearest = np.argpartition(-(directions @ (rays / length[:, None]).T), 3, axis=1)[:, :3]
    return length[nearest].min(axis=1)
