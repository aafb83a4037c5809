"""Effective connectivity over several steps."""

from __future__ import annotations

import numpy as np

from bids_ai.ccep.prediction.base import MatrixPredictor
from bids_ai.ccep.prediction.effective import NPI


def effective_multistep() -> MatrixPredictor:
    """Absolute mean response over the steps after a push (`effective.perturbation.push`, several steps)."""
    label = "effective connectivity over several steps"
    return MatrixPredictor("ec-multistep", label, NPI, "ec_multistep", transform=np.abs)
