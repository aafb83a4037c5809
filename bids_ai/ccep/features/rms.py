"""Root mean square of the average: size of a response whatever its shape and sign."""

from __future__ import annotations

import numpy as np

from bids_ai.ccep.features.base import NOISE_S, UV, Family
from bids_ai.ccep.trials import RESPONSE_START_S, Array, Trials

#: The early window is the primary amplitude (10 to 100 ms), the other takes slow waves in, s.
EARLY_END_S, LATE_END_S = 0.100, 0.300


def measure(trials: Trials) -> dict[str, Array]:
    """RMS of every channel in two windows, and over that before the pulse."""
    early, late = (_rms(trials, RESPONSE_START_S, end) for end in (EARLY_END_S, LATE_END_S))
    before = _rms(trials, *NOISE_S)
    ratio = np.divide(late, before, out=np.full_like(late, np.nan), where=before > 0)
    return {"rms_uv": UV * early, "rms_late_uv": UV * late, "rms_ratio": ratio}


def _rms(trials: Trials, start_s: float, stop_s: float) -> Array:
    out: Array = np.sqrt((trials.average[:, trials.between(start_s, stop_s)] ** 2).mean(axis=1))
    return out


FAMILY = Family(
    "rms",
    {
        "rms_uv": "RMS of the average from 11 to 100 ms, microvolts",
        "rms_late_uv": "RMS of the average from 11 to 300 ms, microvolts",
        "rms_ratio": "the latter over the RMS of the average from -1 to -0.1 s",
    },
    measure,
    "RMS of the average is common usage; the windows are those declared here",
)
