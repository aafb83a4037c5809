"""Effective connectivity over several steps."""

from __future__ import annotations

import numpy as np

from bids_ai.ccep.prediction.base import MatrixPredictor, log_sizes
from bids_ai.ccep.prediction.effective import NPI


def effective_multistep() -> MatrixPredictor:
    """Logarithm of the absolute mean response over several steps after a push (`effective.perturbation.push`)."""
    label = "effective connectivity over several steps"
    return MatrixPredictor("ec-multistep", label, NPI, "ec_multistep", transform=np.abs, link=log_sizes)
