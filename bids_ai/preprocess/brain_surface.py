"""A deformable surface that moves from a first guess of the brain to its edge.

As in BET (Smith 2002, doi 10.1002/hbm.10062) the surface is drawn by the intensities along its normals and held
together by its smoothness. It differs in three ways: it starts from a template that was registered rather than from a
sphere; the force is the evidence for brain gathered along the whole normal, which the optimal position maximises,
rather than a threshold at one point; and the surface is a level set, so the cerebellum and the temporal poles need
no star shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from bids_ai.preprocess.volumes import Array, Mask, ball, largest_component, signed_distance


@dataclass(frozen=True)
class Reach:
    """One round of deformation.

    Attributes
    ----------
    inward, outward : float
        How far the surface may move, mm.
    pull : float
        SD of the displacement expected a priori, mm.
    stiffness : float
        Cost of deviating 1 mm from the mean displacement of the neighbours, in mm of evidence per mm2.
    """

    inward: float
    outward: float
    pull: float
    stiffness: float


#: From an affine guess: the size of the brain may be off by a centimetre.
FROM_AFFINE = (Reach(8, 14, 8, 0.15), Reach(5, 7, 8, 0.15), Reach(4, 4, 8, 0.10))
#: From a nonlinear guess.
FROM_WARP = (Reach(5, 5, 4, 0.15), Reach(3, 3, 4, 0.10))
#: Neighbours within the smoothing kernel, and its SD in mm.
_N_NEIGHBOURS = 24
_KERNEL_MM = 4.0
_N_SWEEPS = 60
#: Evidence from further inside than the allowed displacement, mm: without it a start outside the brain is not seen.
_LOOK_INSIDE_MM = 4.0

#: So deep inside the surface is brain; so far outside, only what is joined to it is.
_DEEP_MM, _STRAY_MM = -4.0, 3.0


@dataclass(frozen=True)
class TissueIntensities:
    """Mean and SD of CSF, grey and white matter, in this order."""

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]


def brain_evidence(head: Array, tissue: TissueIntensities) -> Array:
    """Evidence for brain at each voxel, -1 (CSF, bone, air, fat) to 1 (grey or white matter).

    Zero midway between CSF and grey matter, and 2.5 SD above white matter (fat, vessels).
    """
    csf, grey, white = tissue.mean
    half = max((grey - csf) / 2, 1e-6)
    from_below = np.clip((head - (csf + grey) / 2) / half, -1, 1)
    from_above = np.clip((white + 2.5 * tissue.sd[2] - head) / tissue.sd[2], -1, 1)
    return np.asarray(np.minimum(from_below, from_above), np.float32)


def without_strays(evidence: Array, distance: Array, mm: float) -> Array:
    """Turn evidence for brain into evidence against it where it is not joined to the brain.

    Muscle has the intensity of grey matter and lies a thin bone away. What is bright outside the present surface,
    and is joined to its inside by nothing thicker than about 4 mm (dura, veins, nerves), cannot be brain.

    Parameters
    ----------
    evidence : (nx, ny, nz) array
        From `brain_evidence`.
    distance : (nx, ny, nz) array
        Signed distance to the present surface, mm.
    mm : float
        Edge of the voxels.
    """
    bright = evidence > 0
    solid = ndimage.binary_erosion(bright, ball(2.0, mm))
    labels, _ = ndimage.label(solid)
    inner = labels[distance < _DEEP_MM]
    joined = np.isin(labels, np.unique(inner[inner > 0]))
    joined = ndimage.binary_dilation(joined, ball(2.0, mm), iterations=2) & bright
    strays = bright & ~joined & (distance > _STRAY_MM)
    return np.where(strays, np.float32(-1), evidence)


def estimate_tissues(
    values: NDArray[np.floating], priors: NDArray[np.floating], n_iterations: int = 40
) -> TissueIntensities:
    """Fit CSF, grey and white matter to intensities of voxels inside the brain.

    Parameters
    ----------
    values : (n,) array
        Intensities.
    priors : (n, 3) array
        Probability of CSF, grey, white matter at each voxel before its intensity is seen.
    n_iterations : int
        Of expectation maximisation (Ashburner & Friston 1997, doi 10.1006/nimg.1997.0290).
    """
    middle = float(np.median(values))
    mean = np.array([0.4, 0.85, 1.2]) * middle
    sd = np.array([0.2, 0.15, 0.15]) * middle
    floor = 0.01 * middle
    for _ in range(n_iterations):
        likelihood = priors * np.exp(-0.5 * ((values[:, None] - mean) / sd) ** 2) / sd + 1e-12
        share = likelihood / likelihood.sum(axis=1, keepdims=True)
        weight = share.sum(axis=0)
        mean = (share * values[:, None]).sum(axis=0) / weight
        sd = np.sqrt((share * (values[:, None] - mean) ** 2).sum(axis=0) / weight) + floor
    return TissueIntensities(mean, sd)


def fit_surface(evidence: Array, guess: Mask, mm: float, rounds: tuple[Reach, ...]) -> tuple[Mask, float]:
    """Move the surface of a mask to the edge of the brain.

    Parameters
    ----------
    evidence : (nx, ny, nz) array
        From `brain_evidence`.
    guess : (nx, ny, nz) array of bool
    mm : float
        Edge of the (cubic) voxels.
    rounds : tuple of Reach

    Returns
    -------
    mask : (nx, ny, nz) array of bool
        Inside of the final surface, which runs between grey matter and CSF.
    stuck : float
        Fraction of the surface that went as far as it was allowed in the first round: a sign of a bad start.
    """
    mask, stuck = guess, []
    for reach in rounds:
        distance = signed_distance(mask, mm)
        points, normals = _surface_points(distance, mm)
        joined = without_strays(evidence, distance, mm)
        shift, limited = _displacement(joined, points, normals, mm, reach)
        stuck.append(limited)
        mask = largest_component(_move(distance, points, shift, mm, reach.outward + mm))
    return mask, stuck[0]


def _surface_points(distance: Array, mm: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points on the zero level (mm from the corner of the volume) and their outward normals."""
    voxels = np.argwhere(np.abs(distance) < 0.6 * mm)
    gradient = np.stack([np.gradient(distance, mm, axis=k) for k in range(3)], axis=-1)[tuple(voxels.T)]
    normals = gradient / np.maximum(np.linalg.norm(gradient, axis=1, keepdims=True), 1e-6)
    points = voxels * mm - distance[tuple(voxels.T)][:, None] * normals
    return points, normals


def _displacement(
    evidence: Array, points: NDArray[np.float64], normals: NDArray[np.float64], mm: float, reach: Reach
) -> tuple[NDArray[np.float64], float]:
    """Best displacement of each point along its normal (mm), and the fraction of points at a limit."""
    steps = np.arange(-reach.inward - _LOOK_INSIDE_MM, reach.outward + 0.01, 1.0)
    samples = (points[:, None] + steps[None, :, None] * normals[:, None]) / mm
    seen = ndimage.map_coordinates(evidence, samples.reshape(-1, 3).T, order=1, mode="constant", cval=-1.0)
    cost = -np.cumsum(seen.reshape(len(points), -1), axis=1)
    allowed = steps >= -reach.inward
    steps = steps[allowed]
    cost = cost[:, allowed] + steps**2 / (2 * reach.pull**2)
    weights, neighbours = _neighbourhood(points, normals)
    shift = steps[np.argmin(cost + 0.02 * steps**2, axis=1)]
    for _ in range(_N_SWEEPS):
        around = (weights * shift[neighbours]).sum(axis=1)
        shift = steps[np.argmin(cost + reach.stiffness * (steps - around[:, None]) ** 2, axis=1)]
    limited = float(np.mean((shift <= steps[0]) | (shift >= steps[-1])))
    for _ in range(2):
        shift = (shift + (weights * shift[neighbours]).sum(axis=1)) / 2
    return shift, limited


def _neighbourhood(
    points: NDArray[np.float64], normals: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Weights and indices of the neighbours; opposite banks of a fissure do not hold each other."""
    distances, indices = cKDTree(points).query(points, k=min(_N_NEIGHBOURS + 1, len(points)))
    neighbours = indices[:, 1:]
    weights = np.exp(-(distances[:, 1:] ** 2) / (2 * _KERNEL_MM**2))
    weights *= np.clip((normals[neighbours] * normals[:, None]).sum(axis=-1), 0, 1) ** 2
    return weights / (weights.sum(axis=1, keepdims=True) + 1e-9), neighbours


def _move(distance: Array, points: NDArray[np.float64], shift: NDArray[np.float64], mm: float, reach_mm: float) -> Mask:
    """Mask of the displaced surface: each voxel near it is judged by the displacement of the nearest points."""
    band = np.abs(distance) < reach_mm
    apart, nearest = cKDTree(points).query(np.argwhere(band) * mm, k=min(8, len(points)))
    weights = 1 / (apart + 1) ** 2
    local = (weights * shift[nearest]).sum(axis=1) / weights.sum(axis=1)
    mask = distance < 0
    mask[band] = distance[band] < local
    return np.asarray(mask)
