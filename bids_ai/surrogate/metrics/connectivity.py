"""Agreement of static connectivity: FC, lagged correlation and its directed part.

Channels are correlated over time, never time points over channels. Scores are over off-diagonal entries.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bids_ai.surrogate.metrics.series import Series, check_regions, stretches
from bids_ai.surrogate.usable import FloatArray, as_runs


class Moments(NamedTuple):
    """Correlations (n_regions, n_regions): entry (i, j) is between region i at t and region j at t or t + lag."""

    zero_lag: FloatArray
    lagged: FloatArray


def moments(series: Series, lag: int = 1) -> Moments:
    """FC, and cross-correlation from each frame to the one `lag` frames later, over the same pairs of frames.

    Parameters
    ----------
    series : Series
    lag : int, default=1
        Frames; no pair crosses a gap. FC is that of the later frames.
    """
    pieces = [piece for piece in stretches(series) if len(piece) > lag]
    if not pieces:
        n = as_runs(series)[0].shape[1]
        return Moments(np.full((n, n), np.nan), np.full((n, n), np.nan))
    before = np.concatenate([piece[:-lag] for piece in pieces])
    after = np.concatenate([piece[lag:] for piece in pieces])
    before, after = before - before.mean(axis=0), after - after.mean(axis=0)
    sd_before, sd_after = np.sqrt((before**2).mean(axis=0)), np.sqrt((after**2).mean(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        zero_lag = after.T @ after / len(after) / np.outer(sd_after, sd_after)
        lagged = before.T @ after / len(after) / np.outer(sd_before, sd_after)
    return Moments(zero_lag, lagged)


def offdiagonal_r(a: FloatArray, b: FloatArray) -> float:
    """Pearson correlation of the off-diagonal entries, -1 to 1; NaN for fewer than 3 or without variation."""
    off = ~np.eye(len(a), dtype=bool)
    return _r(a[off], b[off])


def offdiagonal_rmse(a: FloatArray, b: FloatArray) -> float:
    """Root mean square difference of the off-diagonal entries; 0 is perfect."""
    off = ~np.eye(len(a), dtype=bool)
    return float(np.sqrt(np.mean((a[off] - b[off]) ** 2)))


def antisymmetric_r(a: FloatArray, b: FloatArray) -> float:
    """Correlation of (M - M') / 2 over the pairs, -1 to 1: whether the direction agrees."""
    upper = np.triu_indices(len(a), k=1)
    return _r((a - a.T)[upper], (b - b.T)[upper])


def fc_similarity(truth: Series, generated: Series) -> float:
    """1 - |C - D| / (|C| + |D|) with Frobenius norms of the two FC matrices; 0 to 1, 1 is perfect.

    The diagonal of ones counts here, as the index is defined, and lifts it: two unrelated matrices of weak
    correlations score near 1. `fc_r` of the evaluation has neither fault.
    """
    check_regions(truth, generated)
    a, b = moments(truth).zero_lag, moments(generated).zero_lag
    return float(1 - np.linalg.norm(a - b) / (np.linalg.norm(a) + np.linalg.norm(b)))


def connectivity_scores(truth: Moments, generated: Moments) -> dict[str, float]:
    """`fc_r`, `fc_rmse`, `lagged_covariance_r`, `lagged_antisymmetric_r` of two sets of moments.

    Standardised series have unit variance: a lagged correlation is a lagged covariance.
    """
    return {
        "fc_r": offdiagonal_r(truth.zero_lag, generated.zero_lag),
        "fc_rmse": offdiagonal_rmse(truth.zero_lag, generated.zero_lag),
        "lagged_covariance_r": offdiagonal_r(truth.lagged, generated.lagged),
        "lagged_antisymmetric_r": antisymmetric_r(truth.lagged, generated.lagged),
    }


def _r(x: FloatArray, y: FloatArray) -> float:
    if len(x) < 3 or not x.std() > 1e-12 or not y.std() > 1e-12:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])
