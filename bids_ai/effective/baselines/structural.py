"""Structural connectivity alone: on simulated BOLD the only source of direction there was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bids_ai.effective.baselines.base import Baseline, kept_structural
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.usable import FloatArray


def structural(prepared: PreparedRecording, options: Mapping[str, Any] | None = None) -> FloatArray:
    """Structural connectivity between the kept regions, as given (row = source)."""
    matrix = kept_structural(prepared)
    assert matrix is not None  # `Baseline.estimate` refuses a recording without
    return matrix


BASELINE = Baseline(
    name="structural",
    label="structuralconnectivity",
    compute=structural,
    directed=False,
    units="those of the structural connectivity",
    citation="Honey et al. 2009, doi:10.1073/pnas.0811168106",
    needs_structural=True,
    uses_structural=True,
)
