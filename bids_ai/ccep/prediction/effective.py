"""Effective connectivity, one step: row = source, so the row of what is stimulated."""

from __future__ import annotations

import numpy as np

from bids_ai.ccep.prediction.base import MatrixPredictor

NPI = "Luo et al. 2025, doi:10.1038/s41592-025-02654-x"


def effective() -> MatrixPredictor:
    """Absolute effective connectivity of a push one step later."""
    return MatrixPredictor("ec", "effective connectivity at the scale of a TR", NPI, "ec", transform=np.abs)
