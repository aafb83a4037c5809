"""Partial correlation: correlation of two regions given all others, from a shrunken covariance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bids_ai.effective.baselines.base import Baseline, usable_series
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.usable import FloatArray


def _partial(prepared: PreparedRecording, options: Mapping[str, Any]) -> FloatArray:
    """Partial correlation -P_ij / sqrt(P_ii P_jj), P the inverse of the Ledoit-Wolf covariance."""
    from sklearn.covariance import ledoit_wolf

    precision = np.linalg.inv(ledoit_wolf(usable_series(prepared), assume_centered=True)[0])
    precision = (precision + precision.T) / 2
    scale = np.sqrt(np.diag(precision))
    out: FloatArray = -precision / np.outer(scale, scale)
    return out


BASELINE = Baseline(
    name="partial-correlation",
    label="partialcorrelation",
    compute=_partial,
    directed=False,
    units="correlation",
    citation="Ledoit & Wolf 2004, doi:10.1016/S0047-259X(03)00096-4; Marrelec et al. 2006, "
    "doi:10.1016/j.neuroimage.2005.12.057",
)
