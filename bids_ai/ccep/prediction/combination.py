"""Distance, structure and function together: what effective connectivity has to add to."""

from __future__ import annotations

from bids_ai.ccep.prediction.distance import Distance
from bids_ai.ccep.prediction.functional import functional
from bids_ai.ccep.prediction.ridge import RidgePredictor
from bids_ai.ccep.prediction.structural import structural


def combination() -> RidgePredictor:
    """Nested ridge on distance (without penalty), SC and FC."""
    return RidgePredictor(
        "distance+sc+fc",
        "distance, structural and functional connectivity",
        "Seguin et al. 2023, doi:10.1016/j.neuron.2023.01.027 (structure, function and space)",
        [Distance, structural, functional],
    )
