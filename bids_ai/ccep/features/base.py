"""What a family of measures is, and what several of them need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from bids_ai.ccep.trials import Array, Trials

#: Spread of the average from one moment to the next is taken here, s (van Blooijs et al., ER-Detect).
NOISE_S = (-1.0, -0.1)
#: Volts to microvolts.
UV = 1e6


@dataclass(frozen=True)
class Family:
    """Measures that are taken together.

    Attributes
    ----------
    name : str
    columns : mapping of str to str
        Name of each measure -> what it is, with its unit.
    measure : callable
        Trials -> measures by name, each of shape (n_channels,), NaN where there is none.
    source : str
        Publication.
    exploratory : bool
        Not to be used without checks of one's own.
    """

    name: str
    columns: Mapping[str, str]
    measure: Callable[[Trials], dict[str, Array]]
    source: str
    exploratory: bool = False


def noise_sd(trials: Trials) -> Array:
    """SD of the average over `NOISE_S`, volts, shape (n_channels,)."""
    out: Array = trials.average[:, trials.between(*NOISE_S)].std(axis=1)
    return out


def first_peak(
    wave: Array, inside: slice, sampling_hz: float, *, least_share: float = 1.0, apart_s: float = 0.005
) -> tuple[Array, Array]:
    """Find the first high peak of each row.

    Parameters
    ----------
    wave : array, shape (n_channels, n_times)
        Peaks are upward: give the absolute value for either sign.
    inside : slice
        Samples where the peak may be. The edge of it is no peak.
    sampling_hz : float
    least_share : float
        Share of the highest peak that the first must have; 1 takes the highest.
    apart_s : float
        A peak is the highest within so much on both sides, s.

    Returns
    -------
    height : array, shape (n_channels,)
        In the unit of the wave, of the parabola through three samples; NaN without a peak.
    position : array, shape (n_channels,)
        Samples from the start of the wave, with fraction.
    """
    half = max(1, round(apart_s * sampling_hz))
    filled = np.where(np.isfinite(wave), wave, -np.inf)
    around = maximum_filter1d(filled, 2 * half + 1, axis=1, mode="nearest")
    first, last = max(inside.start, 1), min(inside.stop, wave.shape[1] - 1)
    middle = filled[:, first:last]
    left, right = filled[:, first - 1 : last - 1], filled[:, first + 1 : last + 1]
    peak = (middle >= around[:, first:last]) & (middle > left) & (middle >= right) & np.isfinite(middle)
    heights = np.where(peak, middle, -np.inf)
    chosen = (peak & (heights >= least_share * heights.max(axis=1, keepdims=True))).argmax(axis=1)
    rows = np.arange(len(wave))
    with np.errstate(invalid="ignore", divide="ignore"):
        y0, y1, y2 = left[rows, chosen], middle[rows, chosen], right[rows, chosen]
        shift = 0.5 * (y0 - y2) / (y0 - 2.0 * y1 + y2)
        height = y1 - 0.25 * (y0 - y2) * shift
    found = peak.any(axis=1)
    return np.where(found, height, np.nan), np.where(found, first + chosen + shift, np.nan)


def smoothed(wave: Array, sd_s: float, sampling_hz: float) -> Array:
    """Gaussian smoothing over the last axis, which moves no peak that is symmetric."""
    return np.asarray(gaussian_filter1d(wave, sd_s * sampling_hz, axis=-1, mode="nearest"))
