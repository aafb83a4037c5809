"""NIfTI files written frame by frame, the same bytes for the same values."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]

#: Fast and almost as small as level 9 on noisy integers.
_COMPRESSION = 4
_INTENT_VECTOR = 1007


def write_volume(path: Path, data: Array, affine: NDArray[np.floating], *, slope: float = 1.0) -> None:
    """Write one volume, with its type as it is; a reader multiplies the stored values by `slope`."""
    write_frames(path, [data], data.shape, data.dtype, affine, slope=slope)


def write_frames(
    path: Path,
    frames: Iterable[Array],
    shape: tuple[int, ...],
    dtype: np.dtype,
    affine: NDArray[np.floating],
    *,
    repetition_time_s: float | None = None,
    slope: float = 1.0,
) -> None:
    """Write a volume or a run as it is made, so that no more than one frame is in memory.

    Parameters
    ----------
    path : Path
        Ends in ``.nii.gz``.
    frames : iterable of arrays, shape (nx, ny, nz)
    shape : tuple of int
        Shape of the whole file, 3 or 4 axes.
    dtype : numpy dtype
    affine : array, shape (4, 4)
    repetition_time_s : float, optional
        Goes to the header of a run.
    slope : float
        What a reader multiplies the stored values by.

    Raises
    ------
    ValueError
        When the number of frames is not that of `shape`.
    """
    header = nib.Nifti1Header(endianness="<")
    header.set_data_shape(shape)
    header.set_data_dtype(dtype)
    header.set_qform(affine, code=1)
    header.set_sform(affine, code=1)
    header.set_xyzt_units("mm", "sec")
    if repetition_time_s is not None:
        header["pixdim"][4] = repetition_time_s
    header["scl_slope"], header["scl_inter"] = slope, 0.0
    _write(path, header, frames, shape, dtype)


def write_displacements(path: Path, field_mm: Array, affine: NDArray[np.floating]) -> None:
    """Write a displacement field as ITK and ANTs read it (vectors in LPS).

    Parameters
    ----------
    path : Path
    field_mm : array, shape (nx, ny, nz, 3)
        Displacement in mm, RAS.
    affine : array, shape (4, 4)
    """
    lps = (field_mm * np.array([-1.0, -1.0, 1.0]))[:, :, :, None, :].astype(np.float32)
    header = nib.Nifti1Header(endianness="<")
    header.set_data_shape(lps.shape)
    header.set_data_dtype(np.float32)
    header.set_qform(affine, code=1)
    header.set_sform(affine, code=1)
    header.set_xyzt_units("mm")
    header["intent_code"] = _INTENT_VECTOR
    header["scl_slope"], header["scl_inter"] = 1.0, 0.0
    _write(path, header, [lps], lps.shape, np.dtype(np.float32))


def _write(
    path: Path, header: nib.Nifti1Header, frames: Iterable[Array], shape: tuple[int, ...], dtype: np.dtype
) -> None:
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    n_values = 0
    # No file name and no time in the gzip header: the bytes depend on the values alone.
    with path.open("wb") as raw, gzip.GzipFile("", "wb", _COMPRESSION, raw, mtime=0) as out:
        out.write(header.binaryblock + b"\0" * 4)
        for frame in frames:
            out.write(np.asarray(frame, dtype.newbyteorder("<")).tobytes(order="F"))
            n_values += frame.size
    if n_values != np.prod(shape):
        raise ValueError(f"{path.name}: {n_values} values written for a shape of {shape}.")
