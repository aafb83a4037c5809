"""Linear diffusion over the structural connectivity: activity that spreads and leaks until it is at rest."""

from __future__ import annotations

import numpy as np

from bids_ai.ccep.prediction.base import MatrixPredictor, log_weights, without_missing
from bids_ai.ccep.trials import Array

#: Strength of the coupling against the leak; at 1 activity would not die out.
ALPHA = 0.9


def spread(weights: Array, alpha: float = ALPHA) -> Array:
    """Sum of the response over time to a push of each region, (I - alpha S)^-1, S normalised by strengths.

    Parameters
    ----------
    weights : array, shape (n_regions, n_regions)
        Not negative, row = source.
    alpha : float
        Below 1: S has no eigenvalue beyond 1.
    """
    outgoing, incoming = (np.sqrt(weights.sum(axis=axis)) for axis in (1, 0))
    scale = np.outer(outgoing, incoming)
    normalised = np.divide(weights, scale, out=np.zeros_like(weights), where=scale > 0)
    return np.asarray(np.linalg.inv(np.eye(len(weights)) - alpha * normalised))


def diffusion() -> MatrixPredictor:
    """Logarithm of the spread."""
    return MatrixPredictor(
        "diffusion",
        "linear diffusion over the structural connectivity",
        "Galan 2008, doi:10.1371/journal.pone.0002148",
        "sc",
        transform=without_missing(spread),
        link=log_weights,
    )
