"""Functional connectivity."""

from __future__ import annotations

import numpy as np

from bids_ai.ccep.prediction.base import MatrixPredictor


def functional() -> MatrixPredictor:
    """Absolute functional connectivity: the size of a response has no sign."""
    return MatrixPredictor("fc", "functional connectivity", "Keller et al. 2011 PNAS", "fc", transform=np.abs)
