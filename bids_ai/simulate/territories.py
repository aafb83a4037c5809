"""Where bundles end: the border of every parcel shared out, so that fibres enter grey matter everywhere alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bids_ai.simulate.routes import Routes

Array = NDArray[np.floating]

#: Places closer to the other region than this (cost, about mm) are not where a bundle to it ends: short association
#: fibres are 15 to 30 mm long. Schuez & Braitenberg 2002, The human cortical white matter, chapter 16.
_LEAST_COST = 20.0
#: How far the ends of a bundle are strewn beyond the patch that would hold them alone, mm: projections to one place
#: overlap and interdigitate. Goldman-Rakic & Schwartz 1982, doi:10.1126/science.6177037.
_OVERLAP_MM = 4.0
#: Area of the border that a place stands for (2.5 mm grid, one or two places deep), and standard deviation of a
#: territory relative to the radius of the disc that would hold it.
_PLACE_MM2 = 4.0
_SPREAD = 0.6
#: Affinity of a bundle to places nearer than `_LEAST_COST`.
_TOO_NEAR = 0.1
#: Affinity of short fibres to any place.
_ANYWHERE = 0.05
_ROUNDS = 30


def territories(
    routes: Routes, pairs: NDArray[np.intp], areas: Array, local_areas: Array, rng: np.random.Generator
) -> list[dict[int, Array]]:
    """Share out the border of every region between its bundles.

    The number of axons that pass a square millimetre of the border is much the same everywhere, so that the territory
    of a bundle goes with its cross-section, and no part of the border is without fibres. Territories are compact and
    overlap; what bundles between regions leave belongs to short fibres within the region.

    Parameters
    ----------
    routes : Routes
    pairs : array of int, shape (n_bundles, 2)
    areas : array, shape (n_bundles,)
        Cross-sections, mm2.
    local_areas : array, shape (n_regions,)
        Cross-section of the ends of short fibres within each region, mm2.
    rng : numpy Generator

    Returns
    -------
    list of dict
        Per region: by bundle (row of `pairs`; -1 for short fibres) the chance of each of its `ends`; sums to one.
    """
    found = []
    for region, ends in enumerate(routes.ends):
        bundles = np.flatnonzero((pairs == region).any(axis=1))
        others = pairs[bundles].sum(axis=1) - region
        demand = np.append(areas[bundles], local_areas[region])
        demand = demand / demand.sum()
        places = routes.points[ends]
        affinity = np.full((len(bundles) + 1, len(ends)), _ANYWHERE)
        for row, other in enumerate(others):
            cost = routes.cost[other, ends]
            centre = places[rng.choice(_near(cost))]
            radius = _SPREAD * np.sqrt(demand[row] * len(ends) * _PLACE_MM2 / np.pi) + _OVERLAP_MM
            affinity[row] = np.exp(-0.5 * (np.linalg.norm(places - centre, axis=1) / radius) ** 2)
            affinity[row, cost < min(_LEAST_COST, float(np.median(cost)))] *= _TOO_NEAR
        shares = _shared_out(affinity, demand)
        found.append({int(bundle): row for bundle, row in zip([*bundles, -1], shares, strict=True)})
    return found


def _near(cost: Array) -> NDArray[np.intp]:
    """Places from which the other region is not far; not the nearest, or parcels that touch would have no bundle."""
    lowest = min(_LEAST_COST, float(np.quantile(cost, 0.75)))
    return np.flatnonzero((cost >= lowest) & (cost <= max(float(np.median(cost)), 1.5 * lowest)))


def _shared_out(affinity: Array, demand: Array) -> Array:
    """Chances in proportion to affinity such that all together every place is used alike (Sinkhorn 1964)."""
    shares = affinity + 1e-12
    for _ in range(_ROUNDS):
        shares /= shares.sum(axis=0) * shares.shape[1]
        shares *= (demand / shares.sum(axis=1))[:, None]
    return shares / shares.sum(axis=1, keepdims=True)
