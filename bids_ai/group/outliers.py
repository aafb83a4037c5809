"""Values far from those of the others, by a scale that they do not pull along."""

from __future__ import annotations

import numpy as np

from bids_ai.surrogate.usable import FloatArray

#: |robust z| beyond this is an outlier.
LIMIT = 3.0
#: With fewer values a median absolute deviation says little.
LEAST_VALUES = 5


def robust_z(values: FloatArray) -> FloatArray:
    """Distance from the median in units of the spread: 0.6745 (x - median) / MAD (Iglewicz & Hoaglin 1993).

    Parameters
    ----------
    values : (n,) array
        NaN where missing.

    Returns
    -------
    (n,) array
        NaN where missing, for fewer than 5 values, and where half of the values or more are equal, which leaves no
        scale.
    """
    values = np.asarray(values, dtype=np.float64)
    known = values[np.isfinite(values)]
    if len(known) < LEAST_VALUES:
        return np.full(values.shape, np.nan)
    centre = np.median(known)
    spread = np.median(np.abs(known - centre))
    if spread <= 1e-12 * max(float(np.abs(known).max()), 1e-300):
        return np.full(values.shape, np.nan)
    return 0.6744897501960817 * (values - centre) / spread
