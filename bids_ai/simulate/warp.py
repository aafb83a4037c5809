"""A random anatomy: the smooth diffeomorphism and the affine that carry the template to one subject."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

Array = NDArray[np.floating]

#: Corners of the box (mm, template space) in which the warp is defined: a whole head with neck and face.
FIELD_BOX_MM = np.array([[-132.0, -174.0, -192.0], [132.0, 150.0, 150.0]])
FIELD_SPACING_MM = 6.0

#: (smoothness mm, root-mean-square velocity mm) of the two scales of the random velocity field. The coarse
#: one moves lobes, the fine one gyri; their gradients stay far below 1, so that the flow is invertible.
VELOCITY_SCALES_MM = ((24.0, 2.4), (11.0, 0.8))

#: exp(v) by 2**7 half steps: the first step is then below a tenth of a millimetre.
_SQUARINGS = 7


@dataclass(frozen=True)
class SubjectWarp:
    """Maps between template and subject, both in mm (RAS).

    A template point ``x`` lies at ``affine @ exp(v)(x)`` in the subject; the way back uses ``exp(-v)``.

    Attributes
    ----------
    affine : array, shape (4, 4)
        The linear part, template mm to subject mm.
    field_affine : array, shape (4, 4)
        Voxel to mm of the displacement grids.
    forward, backward : arrays, shape (nx, ny, nz, 3)
        Displacements (mm) of exp(v) and of exp(-v), both on the template side of the affine.
    """

    affine: Array
    field_affine: Array
    forward: Array
    backward: Array

    def to_subject(self, points: Array) -> Array:
        """Template points to subject points; shape (..., 3), mm RAS."""
        moved = points + _sample_vectors(self.forward, self.field_affine, points)
        return apply_affine(self.affine, moved)

    def to_template(self, points: Array) -> Array:
        """Subject points to template points; shape (..., 3), mm RAS."""
        straight = apply_affine(np.linalg.inv(self.affine), points)
        return straight + _sample_vectors(self.backward, self.field_affine, straight)


def random_warp(rng: np.random.Generator, *, rotation_deg: Array | None = None) -> SubjectWarp:
    """Draw the anatomy of one subject.

    A stationary velocity field of two spatial scales is integrated by scaling and squaring, which keeps it
    one-to-one; the affine makes the brain 5 to 9 % smaller per axis than the template, whose brain is larger
    than that of a living adult.

    Parameters
    ----------
    rng : numpy Generator
    rotation_deg : array, shape (3,), optional
        Head position in the scanner about x, y, z in degrees; drawn within a few degrees by default.

    Returns
    -------
    SubjectWarp

    References
    ----------
    Arsigny et al. 2006, doi:10.1007/11866565_113 (scaling and squaring).
    Lancaster et al. 2007, doi:10.1002/hbm.20345 (MNI templates are larger than the average brain).
    """
    shape = tuple(np.ceil((FIELD_BOX_MM[1] - FIELD_BOX_MM[0]) / FIELD_SPACING_MM).astype(int) + 1)
    field_affine = np.diag([FIELD_SPACING_MM] * 3 + [1.0])
    field_affine[:3, 3] = FIELD_BOX_MM[0]
    velocity = _random_velocity(rng, shape)
    if rotation_deg is None:
        rotation_deg = rng.uniform(-4.0, 4.0, 3)
    linear = rotation_matrix(np.deg2rad(rotation_deg)) @ _random_stretch(rng)
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = rng.uniform(-5.0, 5.0, 3)
    return SubjectWarp(affine, field_affine, exponential(velocity), exponential(-velocity))


def exponential(velocity: Array) -> Array:
    """Displacement of the flow of a stationary velocity field, by scaling and squaring.

    Parameters
    ----------
    velocity : array, shape (nx, ny, nz, 3)
        Millimetres, on the grid of `FIELD_SPACING_MM`.

    Returns
    -------
    array, shape (nx, ny, nz, 3)
        Displacement in mm.
    """
    grid = np.stack(np.meshgrid(*[np.arange(n, dtype=float) for n in velocity.shape[:3]], indexing="ij"))
    moved = np.moveaxis(velocity, -1, 0) / 2.0**_SQUARINGS
    for _ in range(_SQUARINGS):
        at = grid + moved / FIELD_SPACING_MM
        moved = moved + np.stack([map_coordinates(part, at, order=1, mode="nearest") for part in moved])
    return np.moveaxis(moved, 0, -1)


def apply_affine(affine: Array, points: Array) -> Array:
    """Apply a 4 x 4 affine to points of shape (..., 3)."""
    return points @ affine[:3, :3].T.astype(points.dtype) + affine[:3, 3].astype(points.dtype)


def rotation_matrix(angles_rad: Array) -> Array:
    """Rotation by the angles about x, then y, then z: R = Rz Ry Rx."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles_rad), np.sin(angles_rad)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def rigid_matrix(parameters: Array, centre_mm: Array) -> Array:
    """Rigid move about a centre.

    Parameters
    ----------
    parameters : array, shape (6,)
        Translations x, y, z (mm), then rotations about x, y, z (rad).
    centre_mm : array, shape (3,)
        The point that a pure rotation leaves in place.

    Returns
    -------
    array, shape (4, 4)
    """
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_matrix(parameters[3:])
    matrix[:3, 3] = centre_mm + parameters[:3] - matrix[:3, :3] @ centre_mm
    return matrix


def _random_velocity(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    velocity = np.zeros((*shape, 3))
    for smoothness, amplitude in VELOCITY_SCALES_MM:
        noise = rng.standard_normal((*shape, 3))
        sigma = smoothness / FIELD_SPACING_MM
        smooth = gaussian_filter(noise, (sigma, sigma, sigma, 0.0), mode="wrap")
        velocity += amplitude * smooth / smooth.std(axis=(0, 1, 2))
    return velocity


def _random_stretch(rng: np.random.Generator) -> Array:
    """Scales near 0.93 and shears of a few hundredths, upper triangular."""
    stretch = np.diag(rng.uniform(0.91, 0.95, 3))
    stretch[np.triu_indices(3, 1)] = rng.uniform(-0.02, 0.02, 3)
    return stretch


def _sample_vectors(field: Array, field_affine: Array, points: Array) -> Array:
    """Linear interpolation of a vector field at points (..., 3) in mm."""
    voxel = apply_affine(np.linalg.inv(field_affine), points)
    at = [voxel[..., axis] for axis in range(3)]
    out = np.empty_like(points)
    for axis in range(3):
        map_coordinates(field[..., axis].astype(points.dtype), at, output=out[..., axis], order=1, mode="nearest")
    return out
