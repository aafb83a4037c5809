"""Persistent homology of a cloud of states: components (H0), loops (H1), and distances between diagrams.

Vietoris-Rips filtration over the field of two elements, exact for the points given. H0 dies along the minimum
spanning tree. H1 is found by cohomology: an edge that is the longest of some triangle is closed the moment it appears
(an apparent pair, Bauer 2021, doi:10.1007/s41468-021-00071-5), so that only the remaining edges (those of the
relative neighbourhood graph, a few per point) have columns to be reduced (de Silva, Morozov & Vejdemo-Johansson
2011, doi:10.1088/0266-5611/27/12/124003).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import cdist, pdist

from bids_ai.surrogate.lags import IntArray
from bids_ai.surrogate.metrics.series import Series, check_regions, frames, thinned
from bids_ai.surrogate.usable import FloatArray

MAX_POINTS = 128
"""H1 of so many states takes a fraction of a second."""


def h0_deaths(points: FloatArray) -> FloatArray:
    """Distances at which components merge, increasing, shape (n_points - 1,); all are born at 0.

    Parameters
    ----------
    points : (n_points, n_dimensions) array
    """
    i, j, lengths = _edges(points)
    return lengths[_tree_edges(i, j, len(points))]


def h1_diagram(points: FloatArray) -> FloatArray:
    """Births and deaths of the loops, shape (n_loops, 2), only those that persist.

    Parameters
    ----------
    points : (n_points, n_dimensions) array
        Up to about 200; time grows with the third power of their number.
    """
    n = len(points)
    i, j, lengths = _edges(points)
    rank = np.full((n, n), -1, dtype=np.int64)
    rank[i, j] = rank[j, i] = np.arange(len(i))
    in_tree = np.zeros(len(i), dtype=bool)
    in_tree[_tree_edges(i, j, n)] = True
    # A triangle is coded by the rank of its longest edge and the opposite corner, which is also its place in the order.
    apparent = np.full(len(i), -1, dtype=np.int64)
    for corner in range(n - 1, -1, -1):
        # An edge is the longest side where both others have a lower rank; -1 marks its own ends.
        to_i, to_j = rank[i, corner], rank[j, corner]
        longest = (to_i < np.arange(len(i))) & (to_j < np.arange(len(i))) & (to_i >= 0) & (to_j >= 0)
        apparent[longest] = np.flatnonzero(longest) * n + corner
    reduced: dict[int, IntArray] = {}
    loops = []
    for edge in np.flatnonzero((apparent < 0) & ~in_tree)[::-1]:
        column = _cofacets(edge, i, j, rank)
        while len(column):
            pivot = int(column[0])
            longest_edge = pivot // n
            if apparent[longest_edge] == pivot:
                column = np.setxor1d(column, _cofacets(longest_edge, i, j, rank), assume_unique=True)
            elif pivot in reduced:
                column = np.setxor1d(column, reduced[pivot], assume_unique=True)
            else:
                reduced[pivot] = column
                loops.append((lengths[edge], lengths[longest_edge]))
                break
    diagram = np.array(loops, dtype=np.float64).reshape(-1, 2)
    return diagram[diagram[:, 1] > diagram[:, 0]]


def _edges(points: FloatArray) -> tuple[IntArray, IntArray, FloatArray]:
    """Edges by increasing length: ends and lengths. The place in this order is the rank of an edge."""
    lengths = pdist(points)
    i, j = np.triu_indices(len(points), k=1)
    order = np.argsort(lengths, kind="stable")
    return i[order], j[order], lengths[order]


def _tree_edges(i: IntArray, j: IntArray, n: int) -> IntArray:
    """Ranks of the edges of the minimum spanning tree, increasing; ranks are the weights, so that ties are broken."""
    weights = np.zeros((n, n))
    weights[i, j] = np.arange(1, len(i) + 1)
    tree = minimum_spanning_tree(weights)
    return np.sort(tree.data).astype(np.int64) - 1


def _cofacets(edge: int, i: IntArray, j: IntArray, rank: IntArray) -> IntArray:
    """Codes of all triangles on an edge, increasing."""
    a, b, n = int(i[edge]), int(j[edge]), len(rank)
    corners = np.delete(np.arange(n), [a, b])
    to_a, to_b = rank[a, corners], rank[b, corners]
    longest = np.maximum(np.maximum(to_a, to_b), edge)
    opposite = np.where(longest == edge, corners, np.where(longest == to_a, b, a))
    return np.sort(longest * n + opposite)


def wasserstein(first: FloatArray, second: FloatArray) -> float:
    """1-Wasserstein distance of two persistence diagrams, Euclidean in the plane of births and deaths.

    Points are matched with each other or with the diagonal, at distance (death - birth) / sqrt(2).

    Parameters
    ----------
    first, second : (n, 2) arrays
        Births and deaths; either may be empty.
    """
    n, m = len(first), len(second)
    cost = np.zeros((n + m, n + m))
    if n and m:
        cost[:n, :m] = cdist(first, second)
    cost[:n, m:] = ((first[:, 1] - first[:, 0]) / np.sqrt(2))[:, None]
    cost[n:, :m] = (second[:, 1] - second[:, 0]) / np.sqrt(2)
    rows, columns = linear_sum_assignment(cost)
    return float(cost[rows, columns].sum())


def homology_wasserstein(truth: Series, generated: Series, max_points: int = MAX_POINTS) -> dict[str, float]:
    """Wasserstein distances of the diagrams of H0 and H1 of two sets of states.

    As many evenly spaced states of one as of the other, at most `max_points`; distances between states are divided
    by the square root of the number of regions (root mean square SD per region).

    Returns
    -------
    dict
        `h0`, `h1`: 0 is perfect, no upper bound; what two halves of a recording score is the scale to read them on.
        NaN for fewer than 4 states.
    """
    check_regions(truth, generated)
    a, b = frames(truth), frames(generated)
    n_points = min(len(a), len(b), max_points)
    if n_points < 4:
        return {"h0": float("nan"), "h1": float("nan")}
    clouds = [points[thinned(len(points), n_points)] / np.sqrt(points.shape[1]) for points in (a, b)]
    deaths = [h0_deaths(cloud) for cloud in clouds]
    born_at_zero = [np.column_stack([np.zeros_like(death), death]) for death in deaths]
    return {
        "h0": wasserstein(*born_at_zero),
        "h1": wasserstein(h1_diagram(clouds[0]), h1_diagram(clouds[1])),
    }
