"""Intensity bias field of a T1w image (N4, Tustison et al. 2010, doi 10.1109/TMI.2010.2046908)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_ai.preprocess import volumes
from bids_ai.preprocess.volumes import Array, Mask

#: The field is smooth: it is estimated on voxels of this size and evaluated on the image's own grid, mm.
_GRID_MM, _SLOPPY_GRID_MM = 5.0, 8.0
#: Spacing of the spline's control points, mm, as in sMRIPrep.
_SPLINE_MM = 200


def foreground(data: Array) -> Mask:
    """Head or brain against air: above half of Otsu's threshold, holes filled."""
    inside = data > 0.5 * volumes.otsu_threshold(data[data > 0] if (data > 0).any() else data)
    return np.asarray(ndimage.binary_fill_holes(volumes.largest_component(inside)))


def correct_bias(data: Array, affine: NDArray[np.float64], mask: Mask, *, sloppy: bool = False) -> tuple[Array, float]:
    """Divide an image by its bias field.

    Parameters
    ----------
    data : (nx, ny, nz) array
        Not negative.
    affine : (4, 4) array
    mask : (nx, ny, nz) array of bool
        Where the field is estimated; it is extrapolated elsewhere.
    sloppy : bool
        Few iterations, for tests.

    Returns
    -------
    corrected : (nx, ny, nz) array
        With the median inside the mask kept.
    strength : float
        Ratio of the 95th to the 5th percentile of the field inside the mask; 1 is no bias.
    """
    import ants

    mm = _SLOPPY_GRID_MM if sloppy else _GRID_MM
    coarse, coarse_affine = volumes.isotropic(data, affine, mm)
    inside = volumes.isotropic(mask.astype(np.float32), affine, mm)[0] > 0.5
    inside &= coarse > 0
    spacing = (mm, mm, mm)
    field = ants.n4_bias_field_correction(
        ants.from_numpy(np.maximum(coarse, 0), spacing=spacing),
        mask=ants.from_numpy(inside.astype(np.float32), spacing=spacing),
        shrink_factor=1,
        convergence={"iters": [20, 20] if sloppy else [40, 40, 40], "tol": 1e-6},
        spline_param=_SPLINE_MM,
        return_bias_field=True,
    ).numpy()
    usable = inside & np.isfinite(field) & (field > 0)
    if not usable.any():
        return data, 1.0
    log_field = np.where(usable, np.log(np.where(usable, field, 1)), 0)
    # Outside the mask the nearest estimate goes on, so that no step appears at its edge.
    nearest = ndimage.distance_transform_edt(~usable, return_distances=False, return_indices=True)
    log_field = ndimage.gaussian_filter(log_field[tuple(nearest)], 1.0)
    low, high = np.percentile(log_field[usable], [5, 95])
    shape = data.shape
    # Edge values, not zeros, where the coarse grid ends half a voxel inside the fine one.
    steps = np.linalg.inv(coarse_affine) @ affine
    fine = ndimage.affine_transform(log_field, steps[:3, :3], steps[:3, 3], shape, order=1, mode="nearest")
    corrected = np.asarray(data / np.exp(fine), np.float32)
    before, after = np.median(data[mask]), np.median(corrected[mask])
    if after > 0:
        corrected *= before / after
    return corrected, float(np.exp(high - low))
