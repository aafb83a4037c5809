"""Distance, structure, function, loudness and effective connectivity together."""

from __future__ import annotations

from bids_ai.ccep.prediction.distance import Distance
from bids_ai.ccep.prediction.effective import effective
from bids_ai.ccep.prediction.functional import functional
from bids_ai.ccep.prediction.rest_amplitude import RestAmplitude
from bids_ai.ccep.prediction.ridge import RidgePredictor
from bids_ai.ccep.prediction.structural import structural


def combination_rest_effective() -> RidgePredictor:
    """`combination_rest` and one-step effective connectivity: a gain over it is not one of loudness."""
    return RidgePredictor(
        "distance+rest+sc+fc+ec",
        "distance, how loud the channel is at rest, structural, functional and effective connectivity",
        "control, docs/ccep_scoring.md",
        [Distance, RestAmplitude, structural, functional, effective],
        earned=True,
    )
