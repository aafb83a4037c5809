"""Distributions of the amplitude of each region: Kullback-Leibler divergence and Hellinger distance.

One region at a time, order in time ignored: whether a surrogate visits the right values, not whether it moves
rightly between them (for that see `state_space` and `power`). Bins are shared; an empty bin of the generated series
would make the divergence infinite, and a count of one half is added to every bin of both (Krichevsky & Trofimov 1981,
doi:10.1109/TIT.1981.1056331). The number of bins is the cube root of the smaller number of frames, times two (Rice).
"""

from __future__ import annotations

import numpy as np

from bids_ai.surrogate.metrics.series import Series, check_regions, frames
from bids_ai.surrogate.usable import FloatArray

PSEUDO_COUNT = 0.5


def amplitude_kl(truth: Series, generated: Series) -> float:
    """KL(truth || generated) of amplitude histograms, mean over regions, nats; 0 is perfect, no upper bound."""
    p, q = _histograms(truth, generated)
    return float((p * np.log(p / q)).sum(axis=0).mean())


def amplitude_hellinger(truth: Series, generated: Series) -> float:
    """Hellinger distance of amplitude histograms, mean over regions; 0 is perfect, 1 is disjoint."""
    p, q = _histograms(truth, generated)
    overlap = np.minimum(np.sqrt(p * q).sum(axis=0), 1.0)
    return float(np.sqrt(1 - overlap).mean())


def _histograms(truth: Series, generated: Series) -> tuple[FloatArray, FloatArray]:
    """Smoothed relative frequencies over shared bins, two (n_bins, n_regions) arrays."""
    check_regions(truth, generated)
    a, b = frames(truth), frames(generated)
    n_bins = max(2, int(np.ceil(2 * min(len(a), len(b)) ** (1 / 3))))
    low, high = np.minimum(a.min(axis=0), b.min(axis=0)), np.maximum(a.max(axis=0), b.max(axis=0))
    width = np.where(high > low, high - low, 1.0) / n_bins
    return _frequencies(a, low, width, n_bins), _frequencies(b, low, width, n_bins)


def _frequencies(values: FloatArray, low: FloatArray, width: FloatArray, n_bins: int) -> FloatArray:
    bins = np.clip(((values - low) / width).astype(np.int64), 0, n_bins - 1)
    n = values.shape[1]
    counts = np.bincount((bins * n + np.arange(n)).ravel(), minlength=n_bins * n).reshape(n_bins, n)
    smoothed = counts + PSEUDO_COUNT
    frequencies: FloatArray = smoothed / smoothed.sum(axis=0)
    return frequencies
