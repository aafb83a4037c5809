"""Effective connectivity, one step: row = source, so the row of what is stimulated."""

from __future__ import annotations

import numpy as np

from bids_ai.ccep.prediction.base import MatrixPredictor, log_sizes

NPI = "Luo et al. 2025, doi:10.1038/s41592-025-02654-x"


def effective() -> MatrixPredictor:
    """Logarithm of the absolute effective connectivity of a push one step later.

    Amplitudes are predicted as logarithms. So is EC: then its unit, which differs between models and patients, is an
    offset, and a few large entries do not rule.
    """
    label = "effective connectivity at the scale of a TR"
    return MatrixPredictor("ec", label, NPI, "ec", transform=np.abs, link=log_sizes)
