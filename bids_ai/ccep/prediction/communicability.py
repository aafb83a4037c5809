"""Communicability of the structural connectivity: walks of every length."""

from __future__ import annotations

import numpy as np

from bids_ai.ccep.prediction.base import MatrixPredictor, log_weights, without_missing
from bids_ai.ccep.trials import Array


def _measure(weights: Array) -> Array:
    # Its module brings torch along, which nothing else in here needs.
    from bids_ai.effective.baselines.communicability import communicability

    return communicability(np.asarray(weights, np.float64))


def communicating() -> MatrixPredictor:
    """Logarithm of the communicability."""
    return MatrixPredictor(
        "communicability",
        "communicability of the structural connectivity",
        "Estrada & Hatano 2008, doi:10.1103/PhysRevE.77.036111; Seguin et al. 2023, doi:10.1016/j.neuron.2023.01.027",
        "sc",
        transform=without_missing(_measure),
        link=log_weights,
    )
