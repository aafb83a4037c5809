"""Distance, structure, function and loudness: what effective connectivity has to add to where loudness is known."""

from __future__ import annotations

from bids_ai.ccep.prediction.distance import Distance
from bids_ai.ccep.prediction.functional import functional
from bids_ai.ccep.prediction.rest_amplitude import RestAmplitude
from bids_ai.ccep.prediction.ridge import RidgePredictor
from bids_ai.ccep.prediction.structural import structural


def combination_rest() -> RidgePredictor:
    """`combination`, and how loud each channel is at rest."""
    return RidgePredictor(
        "distance+rest+sc+fc",
        "distance, how loud the channel is at rest, structural and functional connectivity",
        "control, docs/ccep_scoring.md",
        [Distance, RestAmplitude, structural, functional],
    )
