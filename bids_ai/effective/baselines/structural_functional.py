"""Structural times functional connectivity: correlation, where there is a tract to carry it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bids_ai.effective.baselines.base import Baseline
from bids_ai.effective.baselines.pearson import pearson
from bids_ai.effective.baselines.structural import structural
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.usable import FloatArray


def _product(prepared: PreparedRecording, options: Mapping[str, Any]) -> FloatArray:
    """SC / max(SC) times Pearson correlation, entry by entry."""
    weights = structural(prepared)
    out: FloatArray = weights * pearson(prepared) / max(float(weights.max()), 1e-300)
    return out


BASELINE = Baseline(
    name="structural-functional",
    label="structuralfunctional",
    compute=_product,
    directed=False,
    units="correlation times relative structural weight",
    citation="Honey et al. 2009, doi:10.1073/pnas.0811168106",
    needs_structural=True,
    uses_structural=True,
)
