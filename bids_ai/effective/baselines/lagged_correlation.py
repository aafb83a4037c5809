"""Lagged correlation: the source now with the target some frames later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bids_ai.effective.baselines.base import Baseline, targets_of_order
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.usable import FloatArray


def lagged_moments(prepared: PreparedRecording, lag: int) -> tuple[FloatArray, FloatArray]:
    """Zero-lag and lagged second moments over the same pairs of frames, SD units.

    Parameters
    ----------
    prepared : PreparedRecording
    lag : int
        Frames; every frame between the two is usable.

    Returns
    -------
    zero, lagged : (n_kept, n_kept) arrays
        E[x_i(t) x_j(t)], averaged over both ends of the pairs, and E[x_i(t - lag) x_j(t)] (row = source, earlier).
    """
    targets = targets_of_order(prepared.series, lag, prepared.name)
    before, after = prepared.series[targets - lag], prepared.series[targets]
    zero: FloatArray = (before.T @ before + after.T @ after) / (2 * len(targets))
    lagged: FloatArray = before.T @ after / len(targets)
    return zero, lagged


def _correlation(prepared: PreparedRecording, options: Mapping[str, Any]) -> FloatArray:
    """Lagged moments over the zero-lag standard deviations."""
    zero, lagged = lagged_moments(prepared, options["lag"])
    scale = np.sqrt(np.diag(zero))
    out: FloatArray = lagged / np.outer(scale, scale)
    return out


BASELINE = Baseline(
    name="lagged-correlation",
    label="laggedcorrelation",
    compute=_correlation,
    directed=True,
    units="correlation",
    citation="Box & Jenkins 1970, Time Series Analysis; as a baseline of direction: Smith et al. 2011, "
    "doi:10.1016/j.neuroimage.2010.08.063",
    defaults={"lag": 1},
)
