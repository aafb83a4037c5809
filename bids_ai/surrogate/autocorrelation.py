"""Autocorrelation, and the number of independent samples that an autocorrelated series is worth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bids_ai.surrogate.usable import FloatArray, usable_frames


def autocorrelation(runs: Sequence[FloatArray], max_lag: int) -> FloatArray:
    """Autocorrelation per region, pooled over runs; pairs with an unusable frame are left out.

    Parameters
    ----------
    runs : sequence of (n_times, n_regions) arrays
        Standardised within run, NaN rows where censored.
    max_lag : int
        Largest lag, frames.

    Returns
    -------
    (max_lag + 1, n_regions) array
        Row 0 is one. Lags without any pair of frames are zero.
    """
    n_regions = runs[0].shape[1]
    products = np.zeros((max_lag + 1, n_regions))
    pairs = np.zeros(max_lag + 1)
    for run in runs:
        frames = usable_frames(run).astype(np.float64)
        filled = np.where(frames[:, None] > 0, run, 0.0)
        length = 2 ** int(np.ceil(np.log2(len(run) + max_lag + 1)))  # no wrap-around up to max_lag
        products += _lagged_products(filled, length)[: max_lag + 1]
        pairs += np.rint(_lagged_products(frames[:, None], length)[: max_lag + 1, 0])
    mean_products = np.divide(products, pairs[:, None], out=np.zeros_like(products), where=pairs[:, None] > 0)
    variance = mean_products[0]
    return np.divide(mean_products, variance, out=np.zeros_like(products), where=variance > 0)


def _lagged_products(columns: FloatArray, length: int) -> FloatArray:
    spectrum = np.fft.rfft(columns, n=length, axis=0)
    return np.fft.irfft(np.abs(spectrum) ** 2, n=length, axis=0)


def effective_sample_sizes(runs: Sequence[FloatArray]) -> FloatArray:
    """Effective sample size of the correlation of every pair of regions (Bartlett; Bayley and Hammersley).

    1/n_eff = 1/n + 2/n * sum_k (1 - k/n) r_i(k) r_j(k). The autocorrelations are tapered by a Tukey window of
    2 sqrt(n) frames, because the raw sum over all lags is dominated by estimation noise.

    Parameters
    ----------
    runs : sequence of (n_times, n_regions) arrays
        Standardised within run, NaN rows where censored.

    Returns
    -------
    (n_regions, n_regions) array
        Between 1 and the number of usable frames. The diagonal is the effective sample size of r(i, i).

    References
    ----------
    Bayley & Hammersley 1946, doi:10.2307/2983560; taper: Afyouni, Smith & Nichols 2019,
    doi:10.1016/j.neuroimage.2019.05.011.
    """
    n = int(sum(usable_frames(run).sum() for run in runs))
    window = min(int(2 * np.sqrt(n)), max(len(run) for run in runs) - 1)
    lags = np.arange(1, window + 1)
    rho = autocorrelation(runs, window)[1:]
    taper = 0.5 * (1 + np.cos(np.pi * lags / max(window, 1)))
    tapered = rho * taper[:, None]
    inflation = 1 + 2 * (tapered * (1 - lags / n)[:, None]).T @ tapered
    # A negative product of autocorrelations would give more samples than frames: refused as too good.
    return np.clip(n / np.maximum(inflation, 1.0), 1.0, n)
