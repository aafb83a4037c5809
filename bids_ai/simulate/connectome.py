"""The connectome of a virtual patient: directed coupling and bundle lengths from which every modality is made."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

#: Conduction speed of a bundle, m/s: by convention of whole-brain models between the 4 m/s that stimulation shows in
#: adults, synapses included, and the speed of thick fibres. van Blooijs et al. 2023, doi:10.1038/s41593-023-01272-0.
SPEED_M_PER_S = 6.0
#: Lengths over which the chance of a bundle, and its mean weight, fall by e, mm: the exponential distance rule, drawn
#: out to the large parcels and the brain of man. Ercsey-Ravasz et al. 2013, doi:10.1016/j.neuron.2013.07.036.
CHANCE_LENGTH_MM = 50.0
WEIGHT_LENGTH_MM = 40.0
#: Standard deviation of the logarithm of the weight of a bundle, distance apart.
WEIGHT_LOG_SD = 0.8
#: Chance of a bundle between the hemispheres relative to one within, partners apart: the callosum has room for few, and
#: joins mostly homotopic places. Hofer & Frahm 2006, doi:10.1016/j.neuroimage.2006.05.044.
CROSSING = 0.2
#: Share of the bundles that conduct one way only; the others divide their weight unevenly.
ONE_WAY = 0.3
#: A bundle is longer than the straight line between the centroids; the length before a curve is known.
DETOUR = 1.3


@dataclass(frozen=True)
class Connectome:
    """Directed coupling between regions, and the lengths of the bundles that carry it.

    Attributes
    ----------
    weights : array, shape (n_regions, n_regions)
        Coupling; row = source, column = target; zero diagonal, none negative. The mean over regions of what comes in
        is 1 in a group connectome.
    lengths_mm : array, shape (n_regions, n_regions)
        Symmetric; NaN where there is no bundle.
    speed_m_per_s : float
        Conduction speed.
    """

    weights: Array
    lengths_mm: Array
    speed_m_per_s: float = SPEED_M_PER_S

    @property
    def n_regions(self) -> int:
        """Number of regions."""
        return len(self.weights)

    @property
    def delays_s(self) -> Array:
        """Conduction delays, s, shape (n_regions, n_regions); NaN where there is no bundle."""
        return self.lengths_mm / 1000.0 / self.speed_m_per_s

    @property
    def bundle_weights(self) -> Array:
        """What diffusion can see: the sum of both directions, symmetric."""
        return self.weights + self.weights.T

    @property
    def bundles(self) -> NDArray[np.intp]:
        """Pairs (row < column) that a bundle joins, shape (n_bundles, 2), in row order."""
        return np.argwhere(np.triu(self.bundle_weights > 0.0, 1))

    @property
    def density(self) -> float:
        """Share of the pairs of regions that a bundle joins."""
        return len(self.bundles) / (self.n_regions * (self.n_regions - 1) / 2.0)

    def with_lengths(self, lengths_mm: Array) -> Connectome:
        """The same coupling with measured lengths; NaN is put where there is no bundle."""
        return replace(self, lengths_mm=np.where(self.bundle_weights > 0.0, lengths_mm, np.nan))


def group_connectome(
    centroids_mm: Array,
    homotopic: NDArray[np.integer],
    rng: np.random.Generator,
    *,
    density: float = 0.28,
    speed_m_per_s: float = SPEED_M_PER_S,
) -> Connectome:
    """Draw the connectome that subjects share.

    The chance of a bundle and its weight fall with distance, weights are log-normal, homotopic regions are strongly
    joined, and every region has a bundle to its nearest neighbour at least. Lengths are straight lines times a detour,
    until curves are known (`Connectome.with_lengths`).

    Parameters
    ----------
    centroids_mm : array, shape (n_regions, 3)
    homotopic : array of int, shape (n_regions,)
        Position of the partner in the other hemisphere, -1 where there is none.
    rng : numpy Generator
    density : float
        Share of the pairs that a bundle joins.
    speed_m_per_s : float

    Returns
    -------
    Connectome
    """
    n = len(centroids_mm)
    distance = np.linalg.norm(centroids_mm[:, None] - centroids_mm[None], axis=-1)
    upper = np.triu_indices(n, 1)
    partners = np.zeros((n, n), bool)
    paired = np.flatnonzero(homotopic >= 0)
    partners[paired, homotopic[paired]] = True
    partners |= partners.T
    side = np.sign(centroids_mm[:, 0])
    chance = np.exp(-distance / CHANCE_LENGTH_MM) * np.where(side[:, None] * side < 0.0, CROSSING, 1.0)
    joined = _joined(distance, chance, partners, round(density * len(upper[0])), rng)

    weight = np.exp(-distance / WEIGHT_LENGTH_MM) * _symmetric(rng.lognormal(0.0, WEIGHT_LOG_SD, (n, n)))
    strong = np.quantile(weight[joined], 0.8)
    weight = np.where(partners, strong * _symmetric(rng.lognormal(0.0, 0.2, (n, n))), weight)
    weight = np.where(joined, weight, 0.0)
    weights = weight * _shares(n, partners, rng)
    weights *= n / weights.sum()
    return Connectome(weights, np.where(joined, DETOUR * distance, np.nan), speed_m_per_s)


def individual_connectome(
    group: Connectome,
    rng: np.random.Generator,
    *,
    variation: float = 0.3,
    missing: float = 0.05,
    kept: NDArray[np.bool_] | None = None,
) -> Connectome:
    """One subject's variant of a group connectome: weights differ, a few bundles are missing.

    Parameters
    ----------
    group : Connectome
    rng : numpy Generator
    variation : float
        Standard deviation of the logarithm of a weight across subjects.
    missing : float
        Share of the bundles that the subject lacks, weak ones before strong ones; no region loses its last.
    kept : array of bool, shape (n_regions, n_regions), optional
        Bundles that no subject lacks.

    Returns
    -------
    Connectome
    """
    # A bundle varies as a whole, and the balance of its directions a little beside.
    both_ways = _symmetric(rng.lognormal(0.0, variation, group.weights.shape))
    weights = group.weights * both_ways * rng.lognormal(0.0, variation / 3.0, group.weights.shape)
    pairs = group.bundles
    strength = group.bundle_weights[tuple(pairs.T)]
    chance = 1.0 / strength if kept is None else np.where(kept[tuple(pairs.T)], 0.0, 1.0 / strength)
    n_missing = min(round(missing * len(pairs)), int(np.count_nonzero(chance)))
    if n_missing:
        lost = pairs[rng.choice(len(pairs), n_missing, replace=False, p=chance / chance.sum())]
        for row, column in lost:
            degrees = np.count_nonzero(weights + weights.T, axis=1)
            if min(degrees[row], degrees[column]) > 1:
                weights[row, column] = weights[column, row] = 0.0
    lengths = np.where(weights + weights.T > 0.0, group.lengths_mm, np.nan)
    return replace(group, weights=weights, lengths_mm=lengths)


def _joined(
    distance: Array, likely: Array, partners: NDArray[np.bool_], n_bundles: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Symmetric support: partners and nearest neighbours first, then pairs drawn by their chance."""
    n = len(distance)
    joined = partners.copy()
    apart = distance + np.diag(np.full(n, np.inf))
    nearest = apart.argmin(axis=1)
    joined[np.arange(n), nearest] = True
    joined |= joined.T
    upper = np.triu_indices(n, 1)
    chance = np.where(joined[upper], 0.0, likely[upper])
    n_more = min(n_bundles - int(np.count_nonzero(joined[upper])), int(np.count_nonzero(chance)))
    if n_more > 0:
        drawn = rng.choice(len(chance), n_more, replace=False, p=chance / chance.sum())
        joined[upper[0][drawn], upper[1][drawn]] = True
    return joined | joined.T


def _shares(n: int, partners: NDArray[np.bool_], rng: np.random.Generator) -> Array:
    """Share of a bundle's weight in each direction; the two of a pair sum to one. Partners are coupled both ways."""
    share = rng.beta(2.0, 2.0, (n, n))
    one_way = (rng.random((n, n)) < ONE_WAY) & ~partners
    share = np.where(one_way, np.rint(share), share)
    upper = np.triu(share, 1)
    return upper + np.tril(1.0 - upper.T, -1)


def _symmetric(draws: Array) -> Array:
    """The upper triangle on both sides."""
    upper = np.triu(draws, 1)
    return upper + upper.T
