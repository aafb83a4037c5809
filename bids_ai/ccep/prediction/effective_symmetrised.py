"""Effective connectivity without its direction."""

from __future__ import annotations

import numpy as np

from bids_ai.ccep.prediction.base import MatrixPredictor, log_sizes
from bids_ai.ccep.prediction.effective import NPI


def effective_symmetrised() -> MatrixPredictor:
    """Logarithm of the mean of the absolute effective connectivity both ways."""
    label = "effective connectivity, symmetrised"
    return MatrixPredictor(
        "ec-symmetrised",
        label,
        NPI,
        "ec",
        transform=lambda matrix: 0.5 * (np.abs(matrix) + np.abs(matrix).T),
        link=log_sizes,
    )
