"""Weights of the structural connectivity."""

from __future__ import annotations

from bids_ai.ccep.prediction.base import MatrixPredictor, log_weights


def structural() -> MatrixPredictor:
    """Logarithm of the weights between what a site stimulates and a channel records."""
    return MatrixPredictor("sc", "structural connectivity", "Crocker et al. 2021", "sc", link=log_weights)
