"""Eddy currents that are believed: those that follow the diffusion gradients.

Shear and scaling fitted volume by volume are noise, unless currents caused them; and currents that a gradient induces
are proportional to it (Jones & Cercignani 2010, doi:10.1002/nbm.1543; `--slm=linear` in FSL eddy).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bids_ai.bids.gradients import GradientTable

    FloatArray = NDArray[np.float64]

#: Part of the variance of slopes in volumes left out that the gradients must explain. Among 12 volumes of noise, the
#: fewest that are looked at, 1 in 100 axes passes (docs/diffusion.md).
LEAST_EXPLAINED = 0.4
#: Three numbers per slope are fitted.
_LEAST_VOLUMES = 12


def explained_by_gradients(slopes: NDArray[Any], table: GradientTable, affine: NDArray[Any]) -> tuple[FloatArray, str]:
    """Keep what is linear in the gradients of the slopes that were fitted to each volume.

    Parameters
    ----------
    slopes : (n_volumes, 3) array
        Displacement along the phase-encoding axis per mm of x, y, z of the scanner; NaN where not fitted.
    table : GradientTable
        As set on the scanner.
    affine : (4, 4) array

    Returns
    -------
    slopes : (n_volumes, 3) array
        On the fitted line; zero for axes whose slopes do not follow the gradients, and for b0 volumes.
    note : str
        For the report.
    """
    known = np.flatnonzero(np.isfinite(slopes).all(axis=1))
    kept = np.zeros_like(slopes)
    if len(known) < _LEAST_VOLUMES:
        return kept, f"Eddy currents were not estimated: {len(known)} volumes are too few"
    # The amplitude of a gradient goes with the root of the b-value.
    gradient = np.sqrt(table.bvals / max(float(table.bvals.max()), 1e-9))[:, None] * table.world(affine)
    design = gradient[known]
    hat = design @ np.linalg.pinv(design)
    told = []
    for axis, name in enumerate("xyz"):
        values = slopes[known, axis]
        left_out = (values - hat @ values) / np.maximum(1 - np.diag(hat), 1e-6)
        explained = 1 - float((left_out**2).sum() / max(float((values**2).sum()), 1e-30))
        if explained >= LEAST_EXPLAINED:
            kept[:, axis] = gradient @ np.linalg.lstsq(design, values, rcond=None)[0]
            told.append(f"{name} {explained:.0%}")
    if not told:
        return kept, "Eddy currents: shear and scaling of the volumes do not follow the gradients; none were corrected"
    largest = 100 * float(np.abs(kept).max())
    return kept, (
        "Eddy currents were corrected: shear and scaling along the phase encoding that follow the gradients (explained "
        f"in volumes left out: {', '.join(told)}; up to {largest:.2f} % of the distance from the centre)"
    )
