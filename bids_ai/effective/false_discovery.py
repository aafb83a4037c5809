"""False discovery rate of many tests."""

from __future__ import annotations

import numpy as np

from bids_ai.surrogate.usable import FloatArray


def benjamini_hochberg(p: FloatArray) -> FloatArray:
    """Adjust p values for the false discovery rate, over the finite ones.

    Calling an edge where q < 0.05 holds the expected share of false ones among those called below 5 %, for tests that
    are independent or positively dependent.

    Parameters
    ----------
    p : array of any shape
        NaN where undefined.

    Returns
    -------
    array
        Of the same shape; NaN where p is.

    References
    ----------
    Benjamini & Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    from scipy.stats import false_discovery_control

    q = np.full(p.shape, np.nan)
    finite = np.isfinite(p)
    if finite.any():
        q[finite] = false_discovery_control(p[finite], method="bh")
    return q
