"""Means over seeds with bootstrap intervals, and paired differences between methods."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from bids_ai.surrogate.seeds import member_seed

N_BOOTSTRAP = 10_000
LEVEL = 0.95
SEED = 1


@dataclass(frozen=True)
class Mean:
    """A mean over seeds and its interval; NaN without values."""

    value: float
    lower: float
    upper: float
    n: int


def bootstrap_mean(values: npt.ArrayLike) -> Mean:
    """Mean of the finite values with the percentile interval over 10 000 resamples (95 %).

    Fewer than two values have no interval.
    """
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    n = len(finite)
    if n < 2:
        return Mean(float(finite.mean()) if n else float("nan"), float("nan"), float("nan"), n)
    rng = np.random.default_rng(member_seed(SEED, "bootstrap over seeds", n))
    means = finite[rng.integers(0, n, (N_BOOTSTRAP, n))].mean(axis=1)
    tail = (1 - LEVEL) / 2
    lower, upper = np.quantile(means, [tail, 1 - tail])
    return Mean(float(finite.mean()), float(lower), float(upper), n)


def paired_difference(table: pd.DataFrame, first: pd.Series, second: pd.Series, score: str) -> Mean:
    """Mean difference of a score between two sets of rows, over the seeds that both have.

    Parameters
    ----------
    table : DataFrame
    first, second : boolean Series
        Rows of one method each, at most one per seed.
    score : str
    """
    a, b = (table[rows].set_index("seed")[score] for rows in (first, second))
    common = a.index.intersection(b.index)
    return bootstrap_mean(a[common].to_numpy() - b[common].to_numpy())


def share_interval(successes: int, n: int) -> tuple[float, float]:
    """Wilson interval of a share (95 %); Wilson 1927, doi:10.1080/01621459.1927.10502953."""
    if n == 0:
        return float("nan"), float("nan")
    z = 1.959964
    share, denominator = successes / n, 1 + z**2 / n
    centre = (share + z**2 / (2 * n)) / denominator
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / denominator
    return float(centre - half), float(centre + half)
