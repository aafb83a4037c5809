"""Correlation dimension of a set of states."""

from __future__ import annotations

import numpy as np

from bids_ai.surrogate.metrics.series import Series, frames_and_times, thinned
from bids_ai.surrogate.usable import FloatArray

MAX_POINTS = 2000
THEILER = 10
PAIR_FRACTIONS = (1e-3, 3e-2)
"""Where the slope is taken: radii within which this share of the pairs lies. Below there are too few pairs, above the
edge of the set bends the curve."""
N_RADII = 12


def correlation_dimension(
    series: Series,
    *,
    theiler: int = THEILER,
    pair_fractions: tuple[float, float] = PAIR_FRACTIONS,
    max_points: int = MAX_POINTS,
) -> float:
    """Slope of log C(r) over log r, with C(r) the share of pairs of states that are closer than r.

    Parameters
    ----------
    series : Series
        States; at most `max_points` of them, evenly spaced, are used.
    theiler : int, default=10
        Pairs at most so many frames apart are near because time is short, and are left out.
    pair_fractions : (float, float)
        Range of C(r) over which the slope is fitted.
    max_points : int

    Returns
    -------
    float
        1 on a curve, 2 on a surface, 2.05 on the Lorenz attractor. A value above 2 log10(number of points) is no
        evidence of an attractor (Eckmann & Ruelle 1992, doi:10.1016/0167-2789(92)90023-G): region series are noisy
        and score far above, where the number says how many directions are filled. Compare it with that of the
        recording. NaN for fewer than 50 states.

    References
    ----------
    Grassberger & Procaccia 1983, doi:10.1103/PhysRevLett.50.346; Theiler 1986, doi:10.1103/PhysRevA.34.2427.
    """
    from scipy.spatial.distance import pdist

    points, times = frames_and_times(series, gap=theiler + 1)
    chosen = thinned(len(points), max_points)
    points, times = points[chosen], times[chosen]
    if len(points) < 50:
        return float("nan")
    i, j = np.triu_indices(len(points), k=1)
    distances = pdist(points)[np.abs(times[i] - times[j]) > theiler]
    return _slope(distances[distances > 0], len(distances), pair_fractions)


def _slope(distances: FloatArray, n_pairs: int, pair_fractions: tuple[float, float]) -> float:
    shares = np.geomspace(*pair_fractions, N_RADII)
    ranks = np.round(shares * n_pairs).astype(int)
    ranks = np.unique(ranks[(ranks >= 5) & (ranks <= len(distances))])
    if len(ranks) < 3:
        return float("nan")
    radii = np.partition(distances, ranks - 1)[ranks - 1]
    if not radii[-1] > radii[0] * (1 + 1e-9):
        return float("nan")
    return float(np.polyfit(np.log(radii), np.log(ranks), 1)[0])


def dimension_similarity(truth: float, generated: float) -> float:
    """1 - |a - b| / (|a| + |b|) of two dimensions; 0 to 1, 1 is perfect."""
    return float(1 - abs(truth - generated) / (abs(truth) + abs(generated)))
