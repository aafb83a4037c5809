"""Faults of an image that its header and its size tell, without reading its voxels."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np

#: Fewer frames than this cannot be preprocessed nor fitted at all.
MIN_FRAMES = 10
_LEAST_VOXELS = 8
_LEAST_VOXEL_MM3 = 1e-3
_CHUNK = 2**24  # bytes


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
    import nibabel as nib
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        image: Any = nib.load(path)
        shape, itemsize = image.shape, image.get_data_dtype().itemsize
        offset, affine = int(image.dataobj.offset), image.affine
    except (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, zlib.error, gzip.BadGzipFile) as error:
        return f"its header cannot be read ({str(error).splitlines()[0][:200]}); convert or copy the file again"
    fault = _shape_fault(shape, ndim, least)
    if fault:
        return fault
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < _LEAST_VOXEL_MM3:
        return "its header gives no size and orientation of the voxels (sform, qform); convert the file again"
    expected = offset + int(np.prod(shape, dtype=np.int64)) * itemsize
    found = _size_up_to(path, expected)
    if found < expected:
        return f"it is cut short: {found} bytes where its header says {expected}; copy the file again"
    return None


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


def _size_up_to(path: Path, expected: int) -> int:
    """Unpacked size of a file in bytes, as far as `expected`.

    The trailer of a gzip file tells the size modulo 2**32 without unpacking. Where it tells another one the file
    was cut off, or has several members (parallel compressors), or holds more than is needed: then it is unpacked.
    """
    if not path.name.endswith(".gz"):
        return path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(-4, os.SEEK_END)
        if int.from_bytes(stream.read(4), "little") == expected % 2**32:
            return expected
    found = 0
    try:
        with gzip.open(path) as unpacked:
            while found < expected and (chunk := unpacked.read(min(_CHUNK, expected - found))):
                found += len(chunk)
    except (EOFError, OSError, zlib.error):
        pass
    return found
