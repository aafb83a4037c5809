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

#: Part of the variance in volumes left out that the gradients must explain. Of slopes that are noise 2 in 100 pass
#: among 12 volumes, the fewest that are looked at, and none of 600 among 20.
LEAST_EXPLAINED = 0.5
#: Three numbers per slope are fitted.
_LEAST_VOLUMES = 12
#: Head motion that is no eddy current: a polynomial over the scan.
_DRIFT_ORDER = 2


def explained_by_gradients(
    slopes: NDArray[Any], offsets: NDArray[Any], table: GradientTable, affine: NDArray[Any]
) -> tuple[FloatArray, str]:
    """Keep what is linear in the gradients of the displacement that was fitted to each volume.

    Parameters
    ----------
    slopes : (n_volumes, 3) array
        Displacement along the phase-encoding axis per mm of x, y, z of the scanner; NaN where not fitted.
    offsets : (n_volumes,) array
        Displacement of the centre along that axis, mm: of the head and of eddy currents together.
    table : GradientTable
        As set on the scanner.
    affine : (4, 4) array

    Returns
    -------
    displacement : (n_volumes, 4) array
        Slopes and offset on the fitted line; zero for those that do not follow the gradients, and for b0 volumes.
    note : str
        For the report.
    """
    known = np.flatnonzero(np.isfinite(slopes).all(axis=1))
    kept = np.zeros((len(slopes), 4))
    if len(known) < _LEAST_VOLUMES:
        return kept, f"Eddy currents were not estimated: {len(known)} volumes are too few"
    # The amplitude of a gradient goes with the root of the b-value.
    gradient = np.sqrt(table.bvals / max(float(table.bvals.max()), 1e-9))[:, None] * table.world(affine)
    # A head drifts over the scan; no slope does.
    drift = np.polynomial.polynomial.polyvander(np.linspace(-1, 1, len(table)), _DRIFT_ORDER)
    told = []
    for column, name in enumerate(("x", "y", "z", "offset")):
        offset = name == "offset"
        values = offsets[known] if offset else slopes[known, column]
        base = drift[known] if offset else np.zeros((len(known), 0))
        design = np.column_stack([gradient[known], base])
        explained = 1 - _left_out_error(values, design) / max(_left_out_error(values, base), 1e-30)
        if explained >= LEAST_EXPLAINED:
            fitted = np.linalg.lstsq(design, values, rcond=None)[0][:3]
            kept[:, column] = gradient @ fitted
            told.append(f"{name} {explained:.0%}")
    if not told:
        return kept, "Eddy currents: shear and scaling of the volumes do not follow the gradients; none were corrected"
    return kept, (
        "Eddy currents were corrected: displacement along the phase encoding that follows the gradients (explained in "
        f"volumes left out: {', '.join(told)}; slopes up to {100 * float(np.abs(kept[:, :3]).max()):.2f} %, offset up "
        f"to {float(np.abs(kept[:, 3]).max()):.2f} mm)"
    )


def _left_out_error(values: NDArray[Any], design: NDArray[Any]) -> float:
    """Sum of squared errors of each value predicted from the others."""
    if design.shape[1] == 0:
        return float((values**2).sum())
    hat = design @ np.linalg.pinv(design)
    return float((((values - hat @ values) / np.maximum(1 - np.diag(hat), 1e-6)) ** 2).sum())
