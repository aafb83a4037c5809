"""Label volumes on disk and in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np

from bids_ai.bids.images import volume_fault
from bids_ai.errors import InputError


def load_volume(path: Path | str, **options: Any) -> nib.Nifti1Image:
    """Open an image; its data are read when they are asked for (`nibabel.load`, typed)."""
    return cast(nib.Nifti1Image, nib.load(path, **options))


def read_label_image(path: Path) -> nib.Nifti1Image:
    """Read a label volume and check that it is one.

    Parameters
    ----------
    path : pathlib.Path
        NIfTI file.

    Returns
    -------
    nibabel.Nifti1Image
        int16, or int32 where the labels need it; the file's affine.

    Raises
    ------
    InputError
        Missing, corrupt, 4-D (probabilistic), not integer, negative, empty, or without orientation.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"Atlas file {path} does not exist.")
    wrong = volume_fault(path)
    if wrong:
        raise InputError(f"Atlas file {path} cannot be read, it may be truncated: {wrong}.")
    try:
        image = load_volume(path)
        data = np.asanyarray(image.dataobj)
    except Exception as fault:  # nibabel, zlib, gzip and the operating system each raise their own
        raise InputError(f"Atlas file {path} cannot be read, it may be truncated: {fault}") from fault
    data = _three_dimensional(data, path)
    if not np.isfinite(data).all() or (np.round(data) != data).any():
        raise InputError(
            f"Atlas file {path} holds values that are not integers (such as {_first_fraction(data):g}). A label "
            "volume is needed; if it was resampled, do that with nearest-neighbour interpolation."
        )
    if data.min() < 0:
        raise InputError(f"Atlas file {path} holds negative labels (down to {data.min():g}).")
    if data.max() == 0:
        raise InputError(f"Atlas file {path} holds no region: every voxel is 0.")
    header = image.header
    if isinstance(header, nib.Nifti1Header) and not (int(header["sform_code"]) or int(header["qform_code"])):
        raise InputError(
            f"Atlas file {path} states no orientation (sform_code and qform_code are 0), so left and right "
            "cannot be told."
        )
    if not np.isfinite(image.affine).all() or not abs(np.linalg.det(image.affine[:3, :3])) > 0:
        raise InputError(f"Atlas file {path} has no usable affine (sform, qform): it gives no size of the voxels.")
    dtype = np.int16 if data.max() <= np.iinfo(np.int16).max else np.int32
    return label_image(data.astype(dtype), image.affine)


def label_image(labels: np.ndarray, affine: np.ndarray) -> nib.Nifti1Image:
    """Wrap integer labels as an image in MNI space (mm, sform code 4)."""
    image = nib.Nifti1Image(labels, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code="mni")
    image.set_qform(affine, code="mni")
    return image


def _three_dimensional(data: np.ndarray, path: Path) -> np.ndarray:
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    if data.ndim != 3:
        raise InputError(
            f"Atlas file {path} has the shape {data.shape}, wanted a 3-D volume of labels. Probabilistic maps "
            "(4-D) have to be turned into labels first (each voxel to its most probable region)."
        )
    return data


def _first_fraction(data: np.ndarray) -> float:
    odd = data[~np.isfinite(data) | (np.round(data) != data)]
    return float(odd.flat[0])
