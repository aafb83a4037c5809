"""Small analytic diffusion data: gradient schemes, sticks of zeppelins, straight tubes in an isotropic background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_ai.bids.gradients import GradientTable, check_gradients

#: Diffusivities, mm2/s, of the order of white matter, grey matter and water at body temperature.
ALONG, ACROSS, GREY, WATER = 1.7e-3, 0.3e-3, 0.9e-3, 3.0e-3


def directions(n: int, seed: int = 0) -> np.ndarray:
    """Evenly spread axes (golden spiral over half a sphere), turned at random."""
    z = (np.arange(n) + 0.5) / n
    angle = np.pi * (1 + 5**0.5) * np.arange(n)
    points = np.column_stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z])
    turn, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    return points @ turn


def scheme(*shells: tuple[float, int], n_b0: int = 4) -> GradientTable:
    """``scheme((1000, 32), (2000, 60))``; vectors in FSL's convention."""
    bvals = np.concatenate([np.zeros(n_b0)] + [np.full(n, b) for b, n in shells])
    bvecs = np.concatenate([np.zeros((n_b0, 3))] + [directions(n, seed) for seed, (_, n) in enumerate(shells)])
    return check_gradients(bvals, bvecs)


def fibre_signal(bvals: np.ndarray, bvecs: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Signal of unit S0 of fibres along `axes` (..., 3): (..., n_volumes)."""
    cosines = np.asarray(axes) @ bvecs.T
    return np.exp(-bvals * (ACROSS + (ALONG - ACROSS) * cosines**2))


def isotropic_signal(bvals: np.ndarray, diffusivity: float) -> np.ndarray:
    return np.exp(-bvals * diffusivity)


@dataclass(frozen=True)
class Tubes:
    """Straight bundles through a cube of grey matter, world axes."""

    data: np.ndarray
    fraction: np.ndarray  # of fibre
    axes: np.ndarray  # of the tube that is nearest
    affine: np.ndarray
    mask: np.ndarray


def tubes(
    table: GradientTable, affine: np.ndarray, *, n: int = 20, count: int = 6, snr: float = 25, seed: int = 1
) -> Tubes:
    """Tubes of radius 1.5 voxels in random directions; Rician noise."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1) @ affine[:3, :3].T + affine[:3, 3]
    centre = affine[:3, :3] @ np.full(3, (n - 1) / 2) + affine[:3, 3]
    radius = 1.5 * float(np.linalg.norm(affine[:3, :3], axis=0).mean())
    away, axes = np.full((n, n, n), np.inf), np.zeros((n, n, n, 3))
    for _ in range(count):
        axis = rng.standard_normal(3)
        axis /= np.linalg.norm(axis)
        offset = grid - (centre + rng.uniform(-0.25, 0.25, 3) * n * radius / 1.5)
        distance = np.linalg.norm(offset - (offset @ axis)[..., None] * axis, axis=-1)
        nearer = distance < away
        away[nearer], axes[nearer] = distance[nearer], axis
    fraction = np.clip((radius - away) / radius + 0.5, 0, 1)
    fibres = fibre_signal(table.bvals, table.world(affine), axes)
    signal = fraction[..., None] * fibres + (1 - fraction[..., None]) * isotropic_signal(table.bvals, GREY)
    noise = rng.standard_normal((2, *signal.shape)) / snr
    data = 1000 * np.hypot(signal + noise[0], noise[1])
    return Tubes(data, fraction, axes, affine, np.ones((n, n, n), bool))


def oblique(det: int, edge: float = 2.0) -> np.ndarray:
    """Affine of a tilted grid whose determinant has the given sign."""
    a, b = np.deg2rad(20), np.deg2rad(-15)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag([np.sign(det), 1, 1]) * edge
    affine[:3, 3] = [30, -40, 10]
    return affine
