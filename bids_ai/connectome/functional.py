"""Functional connectivity: Pearson and partial correlation, Fisher z, effective sample size.

Series are time first, (n_times, n_regions), or a sequence of such runs, which are standardised within run
and then pooled. NaN rows are censored frames and are dropped; regions without data and constant regions get
NaN rows and columns. The diagonal of a correlation is 1 and is no connectivity (`ValidDiagonal` is false).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from bids_ai.errors import InputError
from bids_ai.surrogate.autocorrelation import effective_sample_sizes
from bids_ai.surrogate.usable import (
    BoolArray,
    FloatArray,
    as_runs,
    region_reasons,
    standardise,
    usable_frames,
)

Series = npt.NDArray[np.float64] | Sequence[npt.NDArray[np.float64]]
Shrinkage = Literal["ledoit-wolf", "oas"] | float

MIN_FRAMES = 4
"""A correlation of fewer frames has no standard error (Fisher z has n - 3 degrees of freedom)."""

MAX_CORRELATION = 1 - 1e-7
"""Correlations are cut here before Fisher z, which would be infinite for identical series (z = 8.4)."""


def pearson(series: Series) -> FloatArray:
    """Pearson correlation between regions.

    Parameters
    ----------
    series : (n_times, n_regions) array or sequence of such runs

    Returns
    -------
    (n_regions, n_regions) array
        Symmetric; diagonal 1, NaN where a region cannot be used.

    Raises
    ------
    InputError
        Not 2D, infinite values, runs with different regions, or fewer than 4 usable frames.
    """
    runs, usable = _standardised(series)
    pooled = _pooled(runs)
    correlation = np.clip(pooled.T @ pooled / len(pooled), -1.0, 1.0)
    return _expand(correlation, usable, diagonal=1.0)


def partial_correlation(series: Series, shrinkage: Shrinkage = "ledoit-wolf") -> FloatArray:
    """Partial correlation between regions given all others, from a shrunken correlation matrix.

    Parameters
    ----------
    series : (n_times, n_regions) array or sequence of such runs
    shrinkage : {"ledoit-wolf", "oas"} or float, default="ledoit-wolf"
        Weight of the identity matrix, estimated (Ledoit & Wolf 2004, doi:10.1016/S0047-259X(03)00096-4; Chen
        et al. 2010, doi:10.1109/TSP.2010.2053029) or given, 0 to 1. Both estimates assume independent frames,
        and thus shrink autocorrelated series too little rather than too much.

    Returns
    -------
    (n_regions, n_regions) array
        Symmetric; diagonal 1, NaN where a region cannot be used.

    Raises
    ------
    InputError
        As `pearson`; for an unknown shrinkage; or where the shrunken matrix cannot be inverted.
    """
    runs, usable = _standardised(series)
    shrunken = _shrunken_correlation(_pooled(runs), shrinkage)
    try:
        factor = np.linalg.cholesky(shrunken)
    except np.linalg.LinAlgError as error:
        raise InputError(
            f"The correlation matrix of {len(shrunken)} regions cannot be inverted with shrinkage {shrinkage!r} "
            "(fewer frames than regions, or identical regions); use 'ledoit-wolf' or a larger value."
        ) from error
    inverse_factor = np.linalg.inv(factor)
    precision = inverse_factor.T @ inverse_factor
    scale = np.sqrt(np.diag(precision))
    return _expand(-precision / np.outer(scale, scale), usable, diagonal=1.0)


def _shrunken_correlation(pooled: FloatArray, shrinkage: Shrinkage) -> FloatArray:
    if isinstance(shrinkage, str):
        from sklearn.covariance import ledoit_wolf, oas

        estimators = {"ledoit-wolf": ledoit_wolf, "oas": oas}
        if shrinkage not in estimators:
            raise InputError(f"Unknown shrinkage {shrinkage!r}: use 'ledoit-wolf', 'oas', or a number 0 to 1.")
        covariance: FloatArray = estimators[shrinkage](pooled, assume_centered=True)[0]
        return covariance
    if not 0 <= shrinkage <= 1:
        raise InputError(f"Shrinkage must lie between 0 and 1, got {shrinkage!r}.")
    n = pooled.shape[1]
    return (1 - shrinkage) * (pooled.T @ pooled / len(pooled)) + shrinkage * np.eye(n)


def fisher_z(matrix: FloatArray, effective_n: FloatArray | None = None) -> FloatArray:
    """Fisher z transform, artanh(r).

    Parameters
    ----------
    matrix : (n_regions, n_regions) array
        Correlations; cut at 1 - 1e-7, so that identical series do not become infinite.
    effective_n : (n_regions, n_regions) array, optional
        From `effective_sample_size`. If given, z is divided by its standard error 1 / sqrt(n - 3), which makes
        it a standard normal where there is no correlation; NaN where n <= 3.

    Returns
    -------
    (n_regions, n_regions) array
        Diagonal NaN.
    """
    z = np.arctanh(np.clip(matrix, -MAX_CORRELATION, MAX_CORRELATION))
    if effective_n is not None:
        degrees = np.where(effective_n > 3, effective_n - 3, np.nan)
        z = z * np.sqrt(degrees)
    np.fill_diagonal(z, np.nan)
    return z


def effective_sample_size(series: Series) -> FloatArray:
    """Effective sample size of the correlation of each pair of regions.

    Autocorrelated frames repeat each other: 1/n_eff = 1/n + 2/n sum_k (1 - k/n) r_i(k) r_j(k) (Bartlett 1946;
    Bayley & Hammersley 1946, doi:10.2307/2983560), with tapered autocorrelations (Afyouni et al. 2019,
    doi:10.1016/j.neuroimage.2019.05.011). `numpy.nanmedian` of the off-diagonal summarises it.

    Parameters
    ----------
    series : (n_times, n_regions) array or sequence of such runs

    Returns
    -------
    (n_regions, n_regions) array
        Frames, at most the number of usable ones; NaN where a region cannot be used.
    """
    runs, usable = _standardised(series)
    return _expand(effective_sample_sizes(runs), usable, diagonal=None)


def homotopic_fc(matrix: FloatArray, pairs: Sequence[tuple[int, int]]) -> FloatArray:
    """Connectivity of left regions with their right counterparts.

    Parameters
    ----------
    matrix : (n_regions, n_regions) array
    pairs : sequence of (left, right)
        Row indices, from 0.

    Returns
    -------
    (n_pairs,) array
        NaN where either region is missing. Its median is high (.4-.7 in typical BOLD) unless the regions, the
        hemispheres or the registration are mixed up.

    Raises
    ------
    InputError
        For an index outside the matrix.
    """
    index = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    if index.size and (index.min() < 0 or index.max() >= len(matrix)):
        raise InputError(f"Homotopic pairs name region {index.max()}, but the matrix has {len(matrix)} regions.")
    values: FloatArray = matrix[index[:, 0], index[:, 1]]
    return values


def _standardised(series: Series) -> tuple[list[FloatArray], BoolArray]:
    """Runs of the usable regions, standardised within run, and which regions those are."""
    runs = as_runs(series)
    shapes = [run.shape for run in runs]
    if not runs or any(len(shape) != 2 for shape in shapes) or len({shape[1] for shape in shapes}) != 1:
        raise InputError(f"Expected runs (n_times, n_regions) of the same regions, got shapes {shapes}.")
    if any(np.isinf(run).any() for run in runs):
        raise InputError("The series contain infinite values; mark missing values as NaN.")
    reasons = region_reasons(runs)
    usable = np.array([column not in reasons for column in range(runs[0].shape[1])], dtype=bool)
    selected = [run[:, usable] for run in runs]
    n_frames = sum(int(usable_frames(run).sum()) for run in selected) if usable.any() else 0
    if n_frames < MIN_FRAMES:
        raise InputError(
            f"{n_frames} frames of {sum(len(run) for run in runs)} are usable in {int(usable.sum())} regions; at "
            f"least {MIN_FRAMES} are needed. Censor less, or use a longer scan."
        )
    return [standardise(run)[0] for run in selected], usable


def _pooled(runs: Sequence[FloatArray]) -> FloatArray:
    return np.concatenate([run[usable_frames(run)] for run in runs])


def _expand(matrix: FloatArray, usable: BoolArray, diagonal: float | None) -> FloatArray:
    full = np.full((len(usable), len(usable)), np.nan)
    rows = np.flatnonzero(usable)
    full[rows[:, None], rows[None, :]] = matrix
    if diagonal is not None:
        full[rows, rows] = diagonal
    return full
