"""Regions that are looked at first, found by their names in the common atlases."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from bids_ai.surrogate.usable import FloatArray

#: Names of a place in the common atlases, the most specific first: Schaefer, then AAL, Desikan-Killiany, HCP-MMP.
LANDMARKS: dict[str, tuple[str, ...]] = {
    "dlPFC": (
        r"dlpfc",
        r"cont_pfcl",
        r"(^|_)pfcl",
        r"frontal_mid(_2)?(_[lr])?$",
        r"rostralmiddlefrontal",
        r"(^|[_.-])(p?9-46[dv]|46)([_.-]|$)",
    ),
    "PCC": (
        r"(^|[_.-])pcc([_.-]|\d|$)",
        r"puncpcc|pcunpcc",
        r"(cingulum|cingulate)_post",
        r"posteriorcingulate",
        r"(^|[_.-])([vd]23ab|31p[vd])([_.-]|$)",
    ),
}


def find_landmarks(names: Sequence[str], strength: FloatArray) -> dict[str, int]:
    """Find a region for each landmark, or the strongest where the atlas has none of them.

    Parameters
    ----------
    names : sequence of str, (n_regions,)
    strength : (n_regions,) array
        Decides between several regions of one name, such as the parcels of a network; NaN for regions without data,
        which are never taken.

    Returns
    -------
    dict of str to int
        Landmark -> row. Without landmarks among the names: ``strongest``. Empty without a region that has data.
    """
    known = np.isfinite(strength)
    found: dict[str, int] = {}
    for landmark, patterns in LANDMARKS.items():
        for pattern in patterns:
            rows = [i for i, name in enumerate(names) if known[i] and re.search(pattern, str(name), re.IGNORECASE)]
            if rows:
                found[landmark] = max(rows, key=lambda i: float(strength[i]))
                break
    if not found and known.any():
        found["strongest"] = int(np.nanargmax(strength))
    return found
