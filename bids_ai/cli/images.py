"""Faults of an image that its header and its size tell, without reading its voxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

#: Fewer frames than this cannot be preprocessed nor fitted at all.
MIN_FRAMES = 10
_LEAST_VOXELS = 8
_LEAST_VOXEL_MM3 = 1e-3


def image_fault(path: Path, *, ndim: int, least: int = MIN_FRAMES) -> str | None:
    """Look at the header of a NIfTI file, and at its size against what the header says.

    Parameters
    ----------
    path : Path
        The image.
    ndim : int
        3 for a volume, 4 for a series.
    least : int
        Volumes that a series has at least.

    Returns
    -------
    str or None
        What is wrong, or None. The voxels are not read.
    """
    from bids_ai.bids.images import HEADER_ERRORS, promised, size_fault, told

    if path.exists() and not path.is_file():
        return "it is no file but a folder, a pipe or a device; give the image itself"
    try:
        shape, expected, affine = promised(path)
    except HEADER_ERRORS as error:
        return f"its header cannot be read ({told(error)}); convert or copy the file again"
    fault = _shape_fault(shape, ndim, least)
    if fault:
        return fault
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < _LEAST_VOXEL_MM3:
        return "its header gives no size and orientation of the voxels (sform, qform); convert the file again"
    return size_fault(path, expected)


def _shape_fault(shape: tuple[int, ...], ndim: int, least: int) -> str | None:
    if min(shape, default=0) < 1:
        return f"its header is corrupt: it gives the shape {tuple(shape)}; convert or copy the file again"
    if ndim == 4:
        frames = shape[3] if len(shape) > 3 else 1
        if len(shape) > 4:
            return f"it has shape {tuple(shape)}; a series of volumes has four axes"
        if frames < least:
            return f"it has {frames} volume{'s' * (frames != 1)}; at least {least} are needed"
    elif len(shape) != 3 and not (len(shape) == 4 and shape[3] == 1):
        return f"it has shape {tuple(shape)}; a single volume is needed"
    if min(shape[:3]) < _LEAST_VOXELS:
        return f"it has shape {tuple(shape)}; fewer than {_LEAST_VOXELS} voxels along an axis cannot be registered"
    return None
