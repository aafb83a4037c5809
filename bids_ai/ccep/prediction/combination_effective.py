"""Distance, structure, function and effective connectivity together."""

from __future__ import annotations

from bids_ai.ccep.prediction.distance import Distance
from bids_ai.ccep.prediction.effective import effective
from bids_ai.ccep.prediction.functional import functional
from bids_ai.ccep.prediction.ridge import RidgePredictor
from bids_ai.ccep.prediction.structural import structural


def combination_effective() -> RidgePredictor:
    """`combination` and one-step effective connectivity: its gain over it is what effective connectivity is worth."""
    return RidgePredictor(
        "distance+sc+fc+ec",
        "distance, structural, functional and effective connectivity",
        "docs/ccep_scoring.md",
        [Distance, structural, functional, effective],
        earned=True,
    )
