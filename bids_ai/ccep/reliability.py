"""How well a measure repeats itself: odd against even pulses, the ceiling of every prediction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from bids_ai.ccep.trials import Array

#: Fewer channels do not make a correlation.
LEAST_CHANNELS = 5


@dataclass(frozen=True)
class NoiseCeiling:
    """Agreement of both halves.

    Attributes
    ----------
    per_site : array, shape (n_sites,)
        Spearman correlation over channels, stepped up to all pulses (Spearman-Brown); NaN for fewer than 5 channels.
    mean : float
        Mean over sites by Fisher's z.
    """

    per_site: Array
    mean: float


def noise_ceiling(odd: Array, even: Array) -> NoiseCeiling:
    """Split-half reliability of a measure of each site over channels.

    Parameters
    ----------
    odd, even : array, shape (n_sites, n_channels)
        The measure from either half of the pulses (`trials.halves`); NaN where excluded.

    Returns
    -------
    NoiseCeiling

    Notes
    -----
    Half of the pulses agree with the other half with r; all with as many new ones with 2 r / (1 + r). A negative r
    stays as it is: the formula has no meaning there.
    """
    per_site = np.full(len(odd), np.nan)
    for site, (first, second) in enumerate(zip(odd, even, strict=True)):
        both = np.isfinite(first) & np.isfinite(second)
        if both.sum() >= LEAST_CHANNELS:
            per_site[site] = spearman_brown(_spearman(first[both], second[both]))
    known = per_site[np.isfinite(per_site)]
    # A perfect correlation has no z.
    mean = float(np.tanh(np.arctanh(np.clip(known, -0.999999, 0.999999)).mean())) if len(known) else float("nan")
    return NoiseCeiling(per_site, mean)


def spearman_brown(r: float) -> float:
    """Reliability of the whole from the correlation of its halves."""
    return 2.0 * r / (1.0 + r) if r > 0 else r


def _spearman(a: Array, b: Array) -> float:
    ranks = rankdata(a), rankdata(b)
    if min(np.ptp(one) for one in ranks) == 0:
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])
