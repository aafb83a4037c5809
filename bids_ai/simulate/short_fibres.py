"""Short fibres within parcels: the arcs that fill white matter beside and below the bundles of the connectome.

Most axons of white matter join places of the cortex a few centimetres apart (Schuez & Braitenberg 2002, The human
cortical white matter, chapter 16): with parcels of a twenty-fourth of grey matter they begin and end in the same one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import dijkstra

from bids_ai.simulate.routes import Routes
from bids_ai.simulate.strands import N_POINTS, Draft, WhiteMatter, draft_strands, resampled, settle_drafts

Array = NDArray[np.floating]

#: Arcs per region, and strands of each.
_ARCS = 18
_STRANDS = 8
#: Shortest and longest arc (cost, about mm).
_REACH = (12.0, 32.0)
#: Strands of an arc end within this of one place, and run within this of each other, mm.
_PATCH_MM = 5.0
_RADIUS_MM = 3.0
#: Places farther than this (cost) from the border of a region are of no use to its arcs.
_DEPTH = 30.0


def short_strands(
    routes: Routes, white: WhiteMatter, chances: list[Array], rng: np.random.Generator
) -> tuple[Array, NDArray[np.intp]]:
    """Lay arcs within every region.

    Parameters
    ----------
    routes : Routes
    white : WhiteMatter
    chances : list of arrays
        Per region, the chance of each of its `ends` to be that of a short fibre.
    rng : numpy Generator

    Returns
    -------
    strands : array, shape (n_strands, N_POINTS, 3)
        Template mm.
    region : array of int, shape (n_strands,)
    """
    drafts, owner = [], []
    for region, chance in enumerate(chances):
        arcs = _arcs(routes, white, region, chance, rng)
        drafts += arcs
        owner += [region] * (len(arcs) * _STRANDS)
    if not drafts:
        return np.zeros((0, N_POINTS, 3)), np.zeros(0, int)
    return settle_drafts(white, drafts, rng), np.array(owner)


def _arcs(routes: Routes, white: WhiteMatter, region: int, chance: Array, rng: np.random.Generator) -> list[Draft]:
    near = np.flatnonzero(routes.cost[region] < _DEPTH)
    local = routes.graph[near][:, near]
    ends = np.searchsorted(near, routes.ends[region])
    places, border = routes.points[routes.ends[region]], routes.border[region]
    starts = rng.choice(len(ends), _ARCS, p=chance)
    cost = dijkstra(local, indices=ends[starts], limit=_REACH[1])[:, ends]
    found = []
    for start, reach in zip(starts, cost, strict=True):
        far = chance * ((reach > _REACH[0]) & np.isfinite(reach))
        if far.sum() <= 0.0:
            continue
        goal = rng.choice(len(ends), p=far / far.sum())
        sides = [np.flatnonzero(np.linalg.norm(places - places[place], axis=1) < _PATCH_MM) for place in (start, goal)]
        first, second = (rng.choice(side, _STRANDS) for side in sides)
        # Ways from either patch to the middle of the other.
        tree = dijkstra(local, indices=ends[[goal, start]], return_predecessors=True, limit=2.0 * _REACH[1])[1]
        out = [_path(tree[0], ends[node], border[node], border[goal], routes.points[near]) for node in first]
        back = [_path(tree[1], ends[node], border[node], border[start], routes.points[near])[::-1] for node in second]
        found.append(draft_strands(white, np.stack(out), np.stack(back), _RADIUS_MM, rng))
    return found


def _path(tree: NDArray[np.integer], node: int, begin: Array, end: Array, points: Array) -> Array:
    nodes = [int(node)]
    while (following := tree[nodes[-1]]) >= 0:
        nodes.append(int(following))
    return resampled(np.concatenate([begin[None], points[nodes], end[None]]))
