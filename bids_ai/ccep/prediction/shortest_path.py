"""Shortest path over the structural connectivity."""

from __future__ import annotations

import numpy as np
from scipy.sparse.csgraph import dijkstra

from bids_ai.ccep.prediction.base import MatrixPredictor, without_missing
from bids_ai.ccep.trials import Array


def path_lengths(weights: Array) -> Array:
    """Lengths of the shortest paths where a connection of weight w has length 1 / w; NaN where there is no path.

    Parameters
    ----------
    weights : array, shape (n_regions, n_regions)
        Not negative.
    """
    lengths = np.divide(1.0, weights, out=np.zeros_like(weights), where=weights > 0)
    found = dijkstra(lengths)
    return np.where(np.isfinite(found), found, np.nan)


def shortest_path() -> MatrixPredictor:
    """Logarithm of the length, turned over: short is strong."""
    return MatrixPredictor(
        "shortest-path",
        "shortest paths over the structural connectivity",
        "Rubinov & Sporns 2010, doi:10.1016/j.neuroimage.2009.10.003",
        "sc",
        transform=without_missing(path_lengths),
        link=lambda lengths: -np.log(np.where(lengths > 0, lengths, np.nan)),
    )
