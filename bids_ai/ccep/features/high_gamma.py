"""Power of 70 to 150 Hz after the pulse against that before it.

Exploratory: what is left of the artefact is fast too.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, hilbert, sosfiltfilt

from bids_ai.ccep.epochs import BLANK_S, without_artefact
from bids_ai.ccep.features.base import Family
from bids_ai.ccep.trials import Array, Trials

BAND_HZ = (70.0, 150.0)
#: From 15 ms on, behind what the filter smears out of the blanked artefact, s.
WINDOW_S = (0.015, 0.1)
#: Before the pulse, away from the smeared artefact, s.
BEFORE_S = (-0.5, -0.05)
#: The filter sees this much around the windows, s.
_MARGIN_S = 0.1


def measure(trials: Trials) -> dict[str, Array]:
    """Change of high gamma power of every channel."""
    nothing = np.full(trials.n_channels, np.nan)
    if trials.sampling_hz < 2.5 * BAND_HZ[1]:
        return {"high_gamma_db": nothing, "high_gamma_t": nothing.copy()}
    near = trials.between(BEFORE_S[0] - _MARGIN_S, WINDOW_S[1] + _MARGIN_S)
    times = trials.times_s[near]
    data = without_artefact(np.where(trials.valid[:, :, None], trials.data[:, :, near], 0.0), times, BLANK_S)
    band = butter(3, BAND_HZ, btype="bandpass", fs=trials.sampling_hz, output="sos")
    power = np.abs(hilbert(sosfiltfilt(band, data, axis=2), axis=2)) ** 2
    after, before = (
        power[:, :, (times >= start) & (times <= stop)].mean(axis=2) for start, stop in (WINDOW_S, BEFORE_S)
    )
    usable = trials.valid & (before > 0) & (after > 0)
    change = np.where(usable, 10.0 * np.log10(np.where(usable, after, 1.0) / np.where(usable, before, 1.0)), np.nan)
    count = usable.sum(axis=0)
    mean = np.divide(np.nansum(change, axis=0), count, out=nothing.copy(), where=count > 0)
    squares = np.nansum((change - mean) ** 2, axis=0)
    error = np.sqrt(np.divide(squares, count * (count - 1), out=nothing.copy(), where=count > 1))
    t = np.divide(mean, error, out=nothing.copy(), where=error > 0)
    return {"high_gamma_db": mean, "high_gamma_t": t}


FAMILY = Family(
    "high-gamma",
    {
        "high_gamma_db": "power of 70 to 150 Hz from 15 to 100 ms over that from -0.5 to -0.05 s, mean over trials, dB",
        "high_gamma_t": "that mean over its standard error over trials",
    },
    measure,
    "band: common usage for high gamma; exploratory",
    exploratory=True,
)
