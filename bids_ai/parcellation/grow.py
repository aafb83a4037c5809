"""Parcels grown around published coordinates, inside the grey matter of a template."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse import csgraph

from bids_ai.errors import InputError
from bids_ai.parcellation.greymatter import GreyMatter, voxel_graph

GROWTH_RADIUS_MM = 10.0
"""Largest distance, along grey matter, of a voxel from its parcel's seed: about the size at which the parcels of
300 coordinates meet."""

MIDLINE_MM = 1.5
"""Seeds closer to x = 0 than this belong to both hemispheres."""

ANY = 0
"""Compartment of a seed that is not known: that of the grey matter nearest to it."""

_LARGEST_SHIFT_MM = 12.0  # a seed farther from its grey matter than this is in another space


def side_of_seed(x: float) -> str:
    """Return ``L``, ``R``, or ``B`` for a seed on the midline (x in mm)."""
    return "B" if abs(x) < MIDLINE_MM else "L" if x < 0 else "R"


def grow_parcels(
    grey: GreyMatter, xyz: np.ndarray, compartment: np.ndarray, *, radius_mm: float = GROWTH_RADIUS_MM
) -> tuple[np.ndarray, pd.DataFrame]:
    """Let all seeds grow at the same speed through grey matter until they meet or reach the radius.

    A parcel stays in the hemisphere and the compartment of its seed, and in one piece. A seed outside grey matter
    starts at the nearest free voxel of its compartment and hemisphere.

    Parameters
    ----------
    grey : GreyMatter
    xyz : array (n_seeds, 3)
        Coordinates, mm RAS.
    compartment : int array (n_seeds,)
        Key of `greymatter.COMPARTMENTS` in which each seed may grow, or `ANY`.
    radius_mm : float
        Largest distance along grey matter.

    Returns
    -------
    labels : int16 array (i, j, k)
        Seed k has label k + 1.
    seeds : pandas.DataFrame (n_seeds,)
        ``side``, ``shift_mm`` (from the coordinate to the voxel in which it started) and ``n_voxels``.

    Raises
    ------
    InputError
        If a seed is more than 12 mm from the grey matter in which it may grow: it is in another space.
    """
    mask = grey.compartment > 0
    mm = grey.mm(np.argwhere(mask))
    part = grey.compartment[mask]
    sides = np.array([side_of_seed(x) for x in xyz[:, 0]])
    start, shift = _start_voxels(mm, part, xyz, compartment, sides)
    graph = voxel_graph(mask, grey.voxel_mm).tocoo()
    same = part[graph.row] == part[graph.col]
    # the midline belongs to every side, the far hemisphere to seeds on the midline alone
    reach = {"L": mm[:, 0] <= 0, "R": mm[:, 0] >= 0, "B": np.ones(len(mm), bool)}
    best = np.full(len(mm), np.inf)
    owner = np.full(len(mm), -1)
    for side, allowed in reach.items():
        seeds = np.flatnonzero(sides == side)
        if not len(seeds):
            continue
        keep = same & allowed[graph.row] & allowed[graph.col]
        domain = graph.copy()
        domain.row, domain.col, domain.data = graph.row[keep], graph.col[keep], graph.data[keep]
        distance, _, source = csgraph.dijkstra(
            domain.tocsr(), indices=start[seeds], min_only=True, return_predecessors=True, limit=radius_mm
        )
        seed_of = dict(zip(start[seeds].tolist(), seeds.tolist(), strict=True))
        nearer = distance < best
        best[nearer] = distance[nearer]
        owner[nearer] = [seed_of[int(s)] for s in source[nearer]]
    owner = _with_seed_only(graph.tocsr(), owner, start)
    labels = np.zeros(mask.shape, np.int16)
    labels[mask] = owner + 1
    n_voxels = np.bincount(owner[owner >= 0], minlength=len(xyz))
    return labels, pd.DataFrame({"side": sides, "shift_mm": shift, "n_voxels": n_voxels})


def _start_voxels(
    mm: np.ndarray, part: np.ndarray, xyz: np.ndarray, compartment: np.ndarray, sides: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Choose the nearest allowed voxel of each seed; no two seeds share one, the nearer seed has the choice."""
    start = np.full(len(xyz), -1)
    shift = np.full(len(xyz), np.nan)
    taken = np.zeros(len(mm), bool)
    x_sign = {"L": mm[:, 0] < 0, "R": mm[:, 0] > 0, "B": np.ones(len(mm), bool)}
    distances = []
    for k, point in enumerate(xyz):
        distance = np.linalg.norm(mm - point, axis=1)
        distance[~x_sign[sides[k]] | ((part != compartment[k]) & (compartment[k] != ANY))] = np.inf
        distances.append(distance.astype(np.float32))
    for k in np.argsort([d.min() for d in distances], kind="stable"):
        distance = np.where(taken, np.inf, distances[k])
        start[k] = int(distance.argmin())
        shift[k] = distance[start[k]]
        taken[start[k]] = True
    far = np.flatnonzero(~(shift <= _LARGEST_SHIFT_MM))
    if len(far):
        raise InputError(
            f"{len(far)} coordinates are more than {_LARGEST_SHIFT_MM:g} mm from grey matter (first: {xyz[far[0]]}). "
            "Are they MNI coordinates, x to the right and y to the front (RAS)?"
        )
    return start, shift


def _with_seed_only(graph: csgraph.csgraph_from_dense, owner: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Free the voxels that are cut off from their seed (where seeds of different sides met)."""
    edges = graph.tocoo()
    same = (owner[edges.row] == owner[edges.col]) & (owner[edges.row] >= 0)
    edges.row, edges.col, edges.data = edges.row[same], edges.col[same], edges.data[same]
    _, piece = csgraph.connected_components(edges.tocsr(), directed=False)
    return np.where((owner >= 0) & (piece == piece[start[owner]]), owner, -1)
