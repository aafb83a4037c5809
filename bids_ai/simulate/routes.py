"""Cheapest ways through the white matter of the template between the borders of parcels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from bids_ai.simulate.head import TemplateBrain, sample
from bids_ai.simulate.parcels import Parcels
from bids_ai.simulate.phantom import voxel_centres
from bids_ai.simulate.warp import apply_affine

Array = NDArray[np.floating]

#: Grid of the search.
_GRID_MM = 2.5
#: Least white-matter fraction of a place on the way, and of one where a bundle may end.
_LEAST_WHITE = 0.45
_END_WHITE = 0.5
#: Cost of a millimetre is 1 + this * (1 - fraction)^2: a detour through pure white matter is cheaper than a short cut.
_DETOUR_COST = 30.0
#: A step over a border that no fibre passes costs so many times more: average templates join white matter there.
_BARRIER = 20.0
#: Fibres between the hemispheres do not cross the midline in front of this y between these z (midbrain,
#: hypothalamus): the commissures lie above, the decussations of the pons below, the cerebellum's own behind; mm.
_NO_CROSSING_Y, _NO_CROSSING_Z = -42.0, (-25.0, -7.0)
#: Fibres pass from cerebrum to cerebellum through the brainstem only: within so much of the midline, in front of this y
#: and below this z, mm. Elsewhere the tentorium lies between.
_STEM_X, _STEM_Y, _STEM_Z = 25.0, -48.0, -14.0
#: Part of the names of cerebellar parcels.
_CEREBELLAR = "_Cer"
#: Farthest grey matter of a parcel from a place at its border, mm.
_BORDER_MM = 3.5


@dataclass(frozen=True)
class Routes:
    """Trees of cheapest ways, one per parcel, and the places where bundles may end.

    Attributes
    ----------
    points : array, shape (n_nodes, 3)
        Places in white matter, template mm.
    ends : list of arrays of int
        Per region: nodes at its border.
    border : list of arrays, shape (n_ends, 3)
        Per region: the point where white turns grey beside each of `ends`.
    previous : array of int, shape (n_regions, n_nodes)
        Next node on the cheapest way to the region; negative at its border.
    cost : array, shape (n_regions, n_nodes)
        Cost of that way.
    graph : sparse array, shape (n_nodes, n_nodes)
        Cost between neighbouring places.
    """

    points: Array
    ends: list[NDArray[np.intp]]
    border: list[Array]
    previous: NDArray[np.integer]
    cost: Array
    graph: csr_array

    def path(self, end: int, region: int, other: int) -> Array:
        """The cheapest way from the border beside an end of one region to the border of another, mm."""
        nodes = [int(self.ends[region][end])]
        while (following := self.previous[other, nodes[-1]]) >= 0:
            nodes.append(int(following))
        arrival = int(np.searchsorted(self.ends[other], nodes[-1]))
        return np.concatenate([self.border[region][[end]], self.points[nodes], self.border[other][[arrival]]])


def white_matter_routes(brain: TemplateBrain, parcels: Parcels) -> Routes:
    """Search the white matter of the template from every parcel.

    Parameters
    ----------
    brain : TemplateBrain
    parcels : Parcels

    Returns
    -------
    Routes

    Raises
    ------
    ValueError
        When a parcel does not touch the white matter.
    """
    points, index, fraction = _white_nodes(brain)
    graph = _graph(points, index, fraction, _is_cerebellar(parcels, points))
    ends, border = _borders(brain, parcels, points, fraction)
    trees = [dijkstra(graph, indices=nodes, min_only=True, return_predecessors=True)[:2] for nodes in ends]
    previous, cost = np.stack([tree[1] for tree in trees]), np.stack([tree[0] for tree in trees])
    return Routes(points, ends, border, previous, cost, graph)


def _white_nodes(brain: TemplateBrain) -> tuple[Array, NDArray[np.intp], Array]:
    """Places (mm), their voxels on the grid, and white-matter fractions of the largest connected part."""
    extent = np.array(brain.tissues["WM"].shape) * np.abs(np.diag(brain.affine)[:3])
    grid = np.diag([_GRID_MM] * 3 + [1.0])
    grid[:3, 3] = brain.affine[:3, 3]
    shape = tuple(int(n) for n in np.ceil(extent / _GRID_MM))
    centres = voxel_centres(grid, shape).astype(float)
    # The mean of a few points inside each cell: thin sheets of white matter survive where there are any.
    quarter = _GRID_MM / 4.0
    corners = [np.array(corner) * 2.0 * quarter - quarter for corner in np.ndindex(2, 2, 2)]
    fraction = np.mean([sample(brain.tissues["WM"], brain.affine, centres + corner) for corner in corners], axis=0)
    parts, n_parts = label(fraction > _LEAST_WHITE, np.ones((3, 3, 3)))
    largest = 1 + int(np.argmax(np.bincount(parts.ravel(), minlength=n_parts + 1)[1:]))
    index = np.argwhere(parts == largest)
    where = tuple(index.T)
    return centres[where], index, fraction[where]


def _graph(points: Array, index: NDArray[np.intp], fraction: Array, cerebellar: NDArray[np.bool_]) -> csr_array:
    """Neighbours (faces, edges, corners) joined by the cost of the way between them."""
    shape = index.max(axis=0) + 3
    number = np.full(shape, -1)
    number[tuple((index + 1).T)] = np.arange(len(index))
    cost = 1.0 + _DETOUR_COST * (1.0 - np.minimum(fraction, 1.0)) ** 2
    rows, columns, values = [], [], []
    for step in np.ndindex(3, 3, 3):
        if step == (1, 1, 1):
            continue
        neighbour = number[tuple((index + np.array(step)).T)]
        here = np.flatnonzero(neighbour >= 0)
        there = neighbour[here]
        length = _GRID_MM * np.linalg.norm(np.array(step) - 1.0)
        rows.append(here)
        columns.append(there)
        barred = _barred(points[here], points[there], cerebellar[here] != cerebellar[there])
        values.append(length * (cost[here] + cost[there]) / 2.0 * np.where(barred, _BARRIER, 1.0))
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return csr_array(entries, shape=(len(points), len(points)))


def _barred(here: Array, there: Array, leaves_cerebellum: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Steps over the midline or the tentorium where no fibre passes."""
    x, y, z = here.T
    between = (z > _NO_CROSSING_Z[0]) & (z < _NO_CROSSING_Z[1])
    midline = (np.sign(x) != np.sign(there[:, 0])) & (y > _NO_CROSSING_Y) & between
    stem = (np.abs(x) < _STEM_X) & (y > _STEM_Y) & (z < _STEM_Z)
    return midline | (leaves_cerebellum & ~stem)


def _is_cerebellar(parcels: Parcels, points: Array) -> NDArray[np.bool_]:
    """Whether the grey matter nearest to each point is a cerebellar parcel's, shape (n_points,)."""
    ours = [int(row["index"]) for _, row in parcels.nodes.iterrows() if _CEREBELLAR in str(row["name"])]
    labelled = np.argwhere(parcels.labels > 0)
    nearest = cKDTree(apply_affine(parcels.affine, labelled.astype(float))).query(points)[1]
    return np.isin(parcels.labels[tuple(labelled[nearest].T)], ours)


def _borders(
    brain: TemplateBrain, parcels: Parcels, points: Array, fraction: Array
) -> tuple[list[NDArray[np.intp]], list[Array]]:
    """Nodes beside the grey matter of every parcel, and the points where white turns grey there."""
    white = np.flatnonzero(fraction > _END_WHITE)
    labelled = np.argwhere(parcels.labels > 0)
    whose = parcels.labels[tuple(labelled.T)]
    tree = cKDTree(apply_affine(parcels.affine, labelled.astype(float)))
    ends, border = [], []
    for region, value in enumerate(parcels.nodes["index"]):
        grey = apply_affine(parcels.affine, labelled[whose == int(value)].astype(float))
        here = sample(brain.tissues["WM"], brain.affine, grey) < _END_WHITE
        grey = grey[here]
        if len(grey) == 0:
            raise ValueError(f"Region {region} has no grey matter in the template.")
        away, nearest = cKDTree(grey).query(points[white], distance_upper_bound=_BORDER_MM)
        beside = np.isfinite(away)
        if not beside.any():
            raise ValueError(f"Region {region} does not touch the white matter of the template.")
        nodes = white[beside]
        turning = _turning_points(brain, points[nodes], grey[nearest[beside]])
        # A fibre ends in the grey matter that it meets: places where another region is nearer are that region's.
        own = whose[tree.query(turning)[1]] == int(value)
        own = own if own.any() else np.ones(len(nodes), bool)
        ends.append(nodes[own])
        border.append(turning[own])
    return ends, border


def _turning_points(brain: TemplateBrain, white: Array, grey: Array) -> Array:
    """Where white matter falls to a half between two points."""
    share = np.linspace(0.0, 1.0, 17)
    line = white[:, None] + share[:, None] * (grey - white)[:, None]
    below = sample(brain.tissues["WM"], brain.affine, line) < _END_WHITE
    below[:, -1] = True
    first = below.argmax(axis=1)
    return line[np.arange(len(white)), first]
