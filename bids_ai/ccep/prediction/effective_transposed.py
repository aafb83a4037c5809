"""Effective connectivity the wrong way round: what direction is worth."""

from __future__ import annotations

import numpy as np

from bids_ai.ccep.prediction.base import MatrixPredictor, log_sizes
from bids_ai.ccep.prediction.effective import NPI


def effective_transposed() -> MatrixPredictor:
    """The same from the channel to the site: it must be worse, if direction is right."""
    label = "effective connectivity, transposed"
    return MatrixPredictor("ec-transposed", label, NPI, "ec", transform=lambda matrix: np.abs(matrix).T, link=log_sizes)
