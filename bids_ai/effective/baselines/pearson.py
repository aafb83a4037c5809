"""Pearson correlation: functional connectivity, the baseline that surrogates of short scans lose to most often."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bids_ai.effective.baselines.base import Baseline, usable_series
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.usable import FloatArray


def pearson(prepared: PreparedRecording, options: Mapping[str, Any] | None = None) -> FloatArray:
    """Zero-lag correlation of the kept regions, runs standardised and pooled, shape (n_kept, n_kept)."""
    frames = usable_series(prepared)
    correlation: FloatArray = frames.T @ frames / len(frames)
    return correlation.clip(-1.0, 1.0)


BASELINE = Baseline(
    name="pearson",
    label="pearsoncorrelation",
    compute=pearson,
    directed=False,
    units="correlation",
    citation="Biswal et al. 1995, doi:10.1002/mrm.1910340409",
)
