"""Seeded directed connectomes: row = source, column = target, zero diagonal, weights without unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_ai.errors import InputError

FloatArray = npt.NDArray[np.float64]

HEMISPHERE_AXES_MM = (65.0, 85.0, 60.0)
"""Left-right (of both together), front-back and up-down half axes of the ellipsoid that regions lie on."""


def dense_gaussian(n_regions: int, rng: np.random.Generator) -> FloatArray:
    """Weights N(0, 1/sqrt(n)) between all pairs, as in Neural Perturbational Inference (Luo et al. 2025)."""
    weights = rng.standard_normal((n_regions, n_regions)) / np.sqrt(n_regions)
    np.fill_diagonal(weights, 0)
    return weights


def ring(n_regions: int, offsets: Sequence[int]) -> FloatArray:
    """Edges of weight 1 from every region to those `offsets` further on a ring."""
    weights = np.zeros((n_regions, n_regions))
    for offset in offsets:
        weights[np.arange(n_regions), (np.arange(n_regions) + offset) % n_regions] = 1.0
    return weights


def sparse_signed(n_regions: int, rng: np.random.Generator, *, density: float = 0.2, radius: float = 0.4) -> FloatArray:
    """Signed directed weights, the other edges exactly absent.

    Parameters
    ----------
    n_regions : int
    rng : numpy Generator
    density : float, default=0.2
        Share of the off-diagonal edges that exist, exact up to rounding.
    radius : float, default=0.4
        Largest singular value: what the coupling can add to a region's own persistence without instability.

    Returns
    -------
    (n_regions, n_regions) array
        Absolute weights between 0.5 and 1.5 before scaling, so that no existing edge is nearly absent.
    """
    present = _edges(n_regions, density, rng)
    weights = rng.uniform(0.5, 1.5, present.shape) * rng.choice([-1.0, 1.0], present.shape) * present
    return weights * radius / np.linalg.norm(weights, 2)


def random_lognormal(
    n_regions: int, rng: np.random.Generator, *, density: float = 0.2, sigma: float = 1.0
) -> FloatArray:
    """Random directed edges with log-normal weights, normalised to an in-strength of 1 per target.

    Every region has at least one source. `sigma` is the SD of the log weights; weights of cortical connections
    are log-normal over several decades (Markov et al. 2014, doi:10.1093/cercor/bhs270).
    """
    present = _edges(n_regions, density, rng)
    _connect_isolated(present, rng)
    weights = np.exp(sigma * rng.standard_normal(present.shape)) * present
    return weights / weights.sum(axis=0, keepdims=True)


@dataclass(frozen=True)
class Connectome:
    """A connectome in space.

    Parameters
    ----------
    weights : (n_regions, n_regions) array
        Mean in-strength 1.
    distances_mm : (n_regions, n_regions) array
        Straight lines between the positions.
    positions_mm : (n_regions, 3) array
        x left to right, y back to front, z up. The first half of the regions is the left hemisphere.
    """

    weights: FloatArray
    distances_mm: FloatArray
    positions_mm: FloatArray

    def delays_s(self, speed_m_per_s: float) -> FloatArray:
        """Conduction delays; 0 on the diagonal."""
        if not speed_m_per_s > 0:
            raise InputError(f"The conduction speed must be positive (m/s), got {speed_m_per_s!r}.")
        return self.distances_mm / 1000.0 / speed_m_per_s


def distance_dependent(
    n_regions: int,
    rng: np.random.Generator,
    *,
    density: float = 0.35,
    length_mm: float = 60.0,
    sigma: float = 0.7,
    asymmetry: float = 0.5,
    homotopic: float = 3.0,
    scaling: float = 0.5,
) -> Connectome:
    """Asymmetric log-normal weights that fall with distance, on two hemispheres.

    Parameters
    ----------
    n_regions : int
        Even.
    rng : numpy Generator
    density : float, default=0.35
        Share of the off-diagonal edges that exist: the strongest ones, so that they are the short ones.
    length_mm : float, default=60.0
        Weights fall with exp(-distance / length): the exponential distance rule of Ercsey-Ravasz et al. 2013
        (doi:10.1016/j.neuron.2013.07.036).
    sigma : float, default=0.7
        SD of the log weights about the rule.
    asymmetry : float, default=0.5
        Share of that variance which the two directions of a pair do not have in common, 0 to 1.
    homotopic : float, default=3.0
        Factor on the connection between mirror regions.
    scaling : float, default=0.5
        How far synaptic scaling evens out the in-strengths: 0 leaves them, 1 makes all equal. Without any, a
        hub now and then carries the whole network to high activity at couplings at which others rest.

    Returns
    -------
    Connectome
    """
    if n_regions % 2 or n_regions < 2:
        raise InputError(f"Two hemispheres need an even number of regions, got {n_regions}.")
    positions = _two_hemispheres(n_regions // 2, rng)
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    common = rng.standard_normal((n_regions, n_regions))
    common = np.triu(common, 1) + np.triu(common, 1).T
    own = rng.standard_normal((n_regions, n_regions))
    logs = sigma * (np.sqrt(1 - asymmetry) * common + np.sqrt(asymmetry) * own) - distances / length_mm
    half = n_regions // 2
    left = np.arange(half)
    logs[left, left + half] += np.log(homotopic)
    logs[left + half, left] += np.log(homotopic)
    np.fill_diagonal(logs, -np.inf)
    n_edges = round(density * n_regions * (n_regions - 1))
    weights = np.where(logs >= np.sort(logs, axis=None)[-n_edges], np.exp(logs), 0.0)
    strength = weights.sum(axis=0)
    weights = weights / np.where(strength > 0, strength, 1.0) ** scaling
    return Connectome(weights * n_regions / weights.sum(), distances, positions)


def _two_hemispheres(n_per_side: int, rng: np.random.Generator) -> FloatArray:
    """Points on the left half of an ellipsoid, far from each other, and their mirror images."""
    candidates = rng.standard_normal((40 * n_per_side, 3))
    candidates /= np.linalg.norm(candidates, axis=1, keepdims=True)
    candidates[:, 0] = -np.abs(candidates[:, 0])
    candidates = candidates[candidates[:, 0] < -0.1] * np.array(HEMISPHERE_AXES_MM)
    # Each next point is the candidate that is farthest from those taken: a spread without clusters.
    chosen = [0]
    nearest = np.full(len(candidates), np.inf)
    for _ in range(n_per_side - 1):
        nearest = np.minimum(nearest, np.linalg.norm(candidates - candidates[chosen[-1]], axis=1))
        chosen.append(int(nearest.argmax()))
    left = candidates[chosen]
    return np.vstack([left, left * np.array([-1.0, 1.0, 1.0])])


def _edges(n_regions: int, density: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Choose off-diagonal edges, a fixed number of them."""
    if not 0 < density <= 1:
        raise InputError(f"The density is a share of the edges, above 0 and at most 1; got {density!r}.")
    off = np.flatnonzero(~np.eye(n_regions, dtype=bool))
    present = np.zeros(n_regions * n_regions, dtype=bool)
    present[rng.choice(off, max(1, round(density * len(off))), replace=False)] = True
    return present.reshape(n_regions, n_regions)


def _connect_isolated(present: npt.NDArray[np.bool_], rng: np.random.Generator) -> None:
    for target in np.flatnonzero(~present.any(axis=0)):
        present[rng.choice(np.delete(np.arange(len(present)), target)), target] = True
