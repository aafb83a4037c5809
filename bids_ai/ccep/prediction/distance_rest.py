"""Distance, and how loud a channel is at rest: what volume conduction alone would have."""

from __future__ import annotations

from bids_ai.ccep.prediction.distance import Distance
from bids_ai.ccep.prediction.rest_amplitude import RestAmplitude
from bids_ai.ccep.prediction.ridge import RidgePredictor


def distance_rest() -> RidgePredictor:
    """Ridge on distance (without penalty) and on the SD of the channel at rest.

    A model in microvolts that knows of no connection, only how a field falls off and how well each channel lies, does
    as well as this.
    """
    return RidgePredictor(
        "distance+rest",
        "distance, and how loud the channel is at rest",
        "control, docs/ccep_scoring.md",
        [Distance, RestAmplitude],
    )
