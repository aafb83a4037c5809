"""p values below what the number of draws can show, by the tail of the draws."""

from __future__ import annotations

import numpy as np

from bids_ai.ccep.trials import Array

#: The share of draws that the tail is fitted to.
TAIL = 0.1
#: No p is given below this: a few thousand draws do not tell more.
P_FLOOR = 1e-5


def tail_p(observed: Array, draws: Array) -> Array:
    """Right-sided p of each statistic under its own draws.

    Counted where a tenth of the draws and more lie above; beyond, of a generalised Pareto distribution that is fitted
    by L-moments to the squares of the highest tenth. The square of the largest of many Gaussian values has an
    exponential tail, shape zero; heavier tails have a positive shape; a negative one, which would end, is not used.

    Parameters
    ----------
    observed : array, shape (n_channels,)
        Not negative; NaN gives NaN.
    draws : array, shape (n_draws, n_channels)

    Returns
    -------
    array, shape (n_channels,)
        At least `P_FLOOR`.

    References
    ----------
    Knijnenburg et al. 2009, doi:10.1093/bioinformatics/btp211; Hosking & Wallis 1987, doi:10.2307/1269343.
    """
    n_draws = len(draws)
    counted = (1.0 + (draws >= observed).sum(axis=0)) / (n_draws + 1.0)
    n_tail = max(10, round(TAIL * n_draws))
    if n_tail >= n_draws:
        return np.where(np.isnan(observed), np.nan, counted)
    highest = np.sort(draws, axis=0)[-n_tail - 1 :] ** 2
    threshold, excess = highest[0], highest[1:] - highest[0]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # Mean, and mean weighted by the share of the excesses above each.
        mean = excess.mean(axis=0)
        above = 1.0 - (np.arange(1, n_tail + 1) - 0.35) / n_tail
        weighted = (above[:, None] * excess).mean(axis=0)
        shape = np.maximum(2.0 - mean / (mean - 2.0 * weighted), 0.0)
        scale = np.where(shape > 0, 2.0 * mean * weighted / (mean - 2.0 * weighted), mean)
        beyond = np.maximum(observed**2 - threshold, 0.0) / scale
        survival = np.where(shape > 1e-6, (1.0 + shape * beyond) ** (-1.0 / np.maximum(shape, 1e-6)), np.exp(-beyond))
    fitted = np.maximum(n_tail / n_draws * survival, P_FLOOR)
    p = np.where(observed**2 > threshold, fitted, counted)
    return np.where(np.isnan(observed), np.nan, p)
