"""Does a recording look low-passed or band-passed? Then one-step prediction is trivial and says nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bids_ai.surrogate.usable import FloatArray, usable_frames

SEGMENT = 64
"""Frames per segment of the averaged periodogram."""

FILTERED_RATIO = 1e-2
"""Power in the upper third of the spectrum over that in the lower third, below which a series is called
filtered. A region with a lag-one autocorrelation of 0.99 is still at 0.07; BOLD filtered to 0.01-0.1 Hz at
TR 2 s by a second-order Butterworth is at 1e-3, at shorter TR far lower."""


def high_frequency_ratio(runs: Sequence[FloatArray]) -> float:
    """Median power in the upper third of [0, Nyquist] over that in the lower third, median over regions.

    Averaged periodograms (Hann window, half overlap) of segments without censored frames.

    Parameters
    ----------
    runs : sequence of (n_times, n_regions) arrays
        Standardised, NaN rows where censored.

    Returns
    -------
    float
        NaN where no stretch of 16 usable frames exists.
    """
    length = SEGMENT
    while length >= 16:
        power = _averaged_periodogram(runs, length)
        if power is not None:
            n_bins = len(power)
            lower = np.median(power[1 : n_bins // 3 + 1], axis=0)  # without the constant
            upper = np.median(power[2 * n_bins // 3 :], axis=0)
            return float(np.median(upper / lower))
        length //= 2
    return float("nan")


def _averaged_periodogram(runs: Sequence[FloatArray], length: int) -> FloatArray | None:
    window = np.hanning(length)[:, None]
    segments = []
    for run in runs:
        usable = usable_frames(run)
        for start in range(0, len(run) - length + 1, length // 2):
            if usable[start : start + length].all():
                piece = run[start : start + length]
                segments.append(np.abs(np.fft.rfft((piece - piece.mean(0)) * window, axis=0)) ** 2)
    return np.mean(segments, axis=0) if segments else None
