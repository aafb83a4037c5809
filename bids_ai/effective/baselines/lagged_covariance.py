"""Lagged covariance in the units of the signal: what MOU-EC fits, taken as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bids_ai.effective.baselines.base import Baseline
from bids_ai.effective.baselines.lagged_correlation import lagged_moments
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.usable import FloatArray


def _covariance(prepared: PreparedRecording, options: Mapping[str, Any]) -> FloatArray:
    """Lagged moments times the standard deviations of the signals, pooled over runs."""
    sd = np.sqrt((prepared.scaler.sd**2).mean(axis=0))
    out: FloatArray = lagged_moments(prepared, options["lag"])[1] * np.outer(sd, sd)
    return out


BASELINE = Baseline(
    name="lagged-covariance",
    label="laggedcovariance",
    compute=_covariance,
    directed=True,
    units="squared units of the signal",
    citation="Gilson et al. 2016, doi:10.1371/journal.pcbi.1004762",
    defaults={"lag": 1},
)
