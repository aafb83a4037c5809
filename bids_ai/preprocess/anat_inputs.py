"""What a T1w image must be before it is preprocessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bids_ai.errors import InputError
from bids_ai.preprocess.volumes import Array, voxel_sizes

#: Fewer voxels along an axis, or longer edges, hold no cortex.
_LEAST_VOXELS = 20
_LONGEST_EDGE_MM = 6.0


def read_t1w(path: Path) -> tuple[Array, NDArray[np.float64]]:
    """Read a T1w image, axes turned to R, A, S (no resampling), values from zero.

    Parameters
    ----------
    path : Path

    Returns
    -------
    data : (nx, ny, nz) array of float32
    affine : (4, 4) array

    Raises
    ------
    InputError
        If the file cannot be read, is not 3-D, holds NaN or infinity, shows nothing, or its voxels are impossible.
    """
    try:
        image: Any = nib.load(path)
        values = np.asanyarray(image.dataobj)
    except Exception as error:
        raise InputError(f"T1w image cannot be read: {path} ({error}). Convert or copy it again.") from error
    if values.dtype.kind not in "iuf":
        raise InputError(f"T1w image must hold real numbers; {path} holds {values.dtype}.")
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim != 3 or min(values.shape) < _LEAST_VOXELS:
        raise InputError(
            f"T1w image must be one 3-D volume of at least {_LEAST_VOXELS} voxels along each axis; {path} has shape "
            f"{image.shape}."
        )
    edges = voxel_sizes(image.affine)
    if not np.isfinite(image.affine).all() or not ((edges > 0.1) & (edges <= _LONGEST_EDGE_MM)).all():
        raise InputError(
            f"T1w image has voxels of {edges} mm; 0.1 to {_LONGEST_EDGE_MM:g} mm can be used. Check the header of "
            f"{path}."
        )
    n_bad = int((~np.isfinite(values)).sum())
    if n_bad:
        raise InputError(f"T1w image holds {n_bad} values that are NaN or infinite: {path}. Set them to zero.")
    if np.ptp(values) == 0:
        raise InputError(f"T1w image is empty (all voxels are {values.flat[0]}): {path}.")
    turned: Any = nib.as_closest_canonical(nib.Nifti1Image(values.astype(np.float32), image.affine))
    data = np.asarray(turned.dataobj, np.float32)
    low = min(float(data.min()), 0.0)
    return data - low if low < 0 else data, np.asarray(turned.affine, float)
