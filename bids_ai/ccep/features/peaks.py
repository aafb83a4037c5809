"""N1 and N2: the first two waves of the average.

A wave has either sign here: behind a bipolar reference, and across the cortex, polarity turns over. The sign of
`n1_uv` is that of the deflection.
"""

from __future__ import annotations

import numpy as np

from bids_ai.ccep.features.base import UV, Family, first_peak, noise_sd, smoothed
from bids_ai.ccep.trials import RESPONSE_START_S, Array, Trials

#: Ends of the windows, s: N1 up to 90 ms (van Blooijs et al. 2023), N2 50 to 300 ms (Penn CCEPS), behind the N1.
N1_END_S = 0.090
N2_S = (0.050, 0.300)
#: Smoothing before peaks are sought, SD in s: a fraction of the width of an N1.
SMOOTHING_S = 0.0015
#: The N1 is the first peak that has this share of the highest in its window.
LEAST_SHARE = 0.5
#: N2 begins at least so long after N1, s: the flank of the N1 is no second wave.
AFTER_N1_S = 0.020


def measure(trials: Trials) -> dict[str, Array]:
    """N1 and N2 of every channel."""
    wave = smoothed(trials.average, SMOOTHING_S, trials.sampling_hz)
    spread = noise_sd(trials)
    n1 = trials.between(RESPONSE_START_S, N1_END_S)
    _, at_n1 = first_peak(np.abs(wave), n1, trials.sampling_hz, least_share=LEAST_SHARE)
    latency = trials.times_s[0] + at_n1 / trials.sampling_hz
    n2 = trials.between(*N2_S)
    late = np.where(trials.times_s >= (latency + AFTER_N1_S)[:, None], np.abs(wave), -np.inf)
    late[np.isnan(latency)] = np.abs(wave)[np.isnan(latency)]
    _, at_n2 = first_peak(late, n2, trials.sampling_hz)
    out = {}
    for name, position in (("n1", at_n1), ("n2", at_n2)):
        value = _value(wave, position)
        out[f"{name}_uv"] = UV * value
        out[f"{name}_latency_ms"] = 1e3 * (trials.times_s[0] + position / trials.sampling_hz)
        out[f"{name}_z"] = np.divide(value, spread, out=np.full_like(value, np.nan), where=spread > 0)
    return out


def _value(wave: Array, position: Array) -> Array:
    """The wave at the sample nearest to a position; NaN where there is none."""
    at = np.where(np.isfinite(position), np.rint(np.nan_to_num(position)), 0).astype(int)
    return np.where(np.isfinite(position), wave[np.arange(len(wave)), at], np.nan)


FAMILY = Family(
    "peaks",
    {
        "n1_uv": "N1: first peak of the average within 11 to 90 ms with half the height of the highest, microvolts",
        "n1_latency_ms": "its latency, ms",
        "n1_z": "N1 over the SD of the average from -1 to -0.1 s",
        "n2_uv": "N2: highest peak within 50 to 300 ms and 20 ms or more behind the N1, microvolts",
        "n2_latency_ms": "its latency, ms",
        "n2_z": "N2 over the SD of the average from -1 to -0.1 s",
    },
    measure,
    "van Blooijs et al. 2023, doi:10.1038/s41593-023-01272-0; Keller et al. 2011, PNAS",
)
