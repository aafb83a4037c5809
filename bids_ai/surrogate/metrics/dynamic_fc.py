"""Dynamics of functional connectivity (FCD): how often patterns of FC return, in the recording and generated."""

from __future__ import annotations

import numpy as np

from bids_ai.surrogate.metrics.series import Series, check_regions, stretches, thinned
from bids_ai.surrogate.usable import FloatArray

WINDOW_S = 60.0
"""Length of a window, seconds (Hansen et al. 2015); shorter than about 40 s the FC of a window is mostly noise."""
MAX_WINDOWS = 120
MIN_SIMILARITIES = 10
MAX_EDGES = 2000


def fcd_similarities(series: Series, window: int, max_windows: int = MAX_WINDOWS) -> FloatArray:
    """Similarities of the FC of all pairs of windows that share no frame.

    Windows that overlap are alike because they share frames; the pairs are left out. Windows of different stretches
    are compared too.

    Parameters
    ----------
    series : Series
    window : int
        Frames per window, >= 3.
    max_windows : int
        Evenly spaced over all positions at which a whole window lies in one stretch.

    Returns
    -------
    (n_pairs,) array
        Pearson r of the vectors of pairwise correlations (evenly thinned to 2000 pairs of regions).
    """
    pieces = [piece for piece in stretches(series) if len(piece) >= window]
    if not pieces or pieces[0].shape[1] < 3:
        return np.zeros(0)
    n_regions = pieces[0].shape[1]
    edges = np.triu_indices(n_regions, k=1)
    chosen = thinned(len(edges[0]), MAX_EDGES)
    sources, targets = edges[0][chosen], edges[1][chosen]
    places = [(number, start) for number, piece in enumerate(pieces) for start in range(len(piece) - window + 1)]
    places = [places[k] for k in thinned(len(places), max_windows)]
    patterns = np.empty((len(places), len(chosen)))
    for row, (number, start) in enumerate(places):
        patterns[row] = _fc(pieces[number][start : start + window])[sources, targets]
    patterns -= patterns.mean(axis=1, keepdims=True)
    patterns /= np.maximum(np.linalg.norm(patterns, axis=1, keepdims=True), 1e-12)
    where = np.array(places)
    apart = (where[:, None, 0] != where[None, :, 0]) | (np.abs(where[:, None, 1] - where[None, :, 1]) >= window)
    similarities: FloatArray = (patterns @ patterns.T)[np.triu(apart, k=1)]
    return similarities


def fcd_ks(truth: Series, generated: Series, tr: float, window_s: float = WINDOW_S) -> float:
    """Kolmogorov-Smirnov distance of the distributions of FCD similarities; 0 is perfect, 1 is disjoint.

    Parameters
    ----------
    truth, generated : Series
    tr : float
        Seconds.
    window_s : float, default=60
        Window, seconds.

    Returns
    -------
    float
        NaN with fewer than 3 regions, or fewer than 10 pairs of windows that share no frame.

    References
    ----------
    Hansen et al. 2015, doi:10.1016/j.neuroimage.2014.11.001 (FCD); Deco et al. 2018,
    doi:10.1016/j.cub.2018.07.083 (KS distance).
    """
    check_regions(truth, generated)
    window = max(3, round(window_s / tr))
    return ks_distance(fcd_similarities(truth, window), fcd_similarities(generated, window))


def ks_distance(a: FloatArray, b: FloatArray) -> float:
    """Largest difference of two empirical distribution functions, 0 to 1; NaN with fewer than 10 values in either."""
    if min(len(a), len(b)) < MIN_SIMILARITIES or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("nan")
    a, b = np.sort(a), np.sort(b)
    both = np.concatenate([a, b])
    steps = np.searchsorted(a, both, side="right") / len(a) - np.searchsorted(b, both, side="right") / len(b)
    return float(np.abs(steps).max())


def _fc(window: FloatArray) -> FloatArray:
    centred = window - window.mean(axis=0)
    centred = centred / np.maximum(np.linalg.norm(centred, axis=0), 1e-12)
    fc: FloatArray = centred.T @ centred
    return fc
