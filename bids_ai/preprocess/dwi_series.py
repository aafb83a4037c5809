"""Reading a diffusion series and a reverse-encoded b0, with the faults that files have."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from bids_ai.errors import InputError
from bids_ai.preprocess.bold_geometry import apply_matrix, grid_points
from bids_ai.preprocess.bold_reference import realign_volume
from bids_ai.preprocess.dwi_inputs import read_header
from bids_ai.preprocess.motion import RigidAligner

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: More voxels that are not finite than this part of the image are a fault of the export, not of its background.
MOST_BAD = 0.01


def read_series(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float64], list[str]]:
    """Read a series and check its values.

    Parameters
    ----------
    path : Path

    Returns
    -------
    data : (nx, ny, nz, n_volumes) array
        Voxels that are NaN or infinite in any volume are zero in all.
    affine : (4, 4) array
    notes : list of str
        What was mended.

    Raises
    ------
    InputError
        If the file is truncated, a volume is empty, or more than a hundredth of the voxels that hold signal are not
        finite.
    """
    shape, affine = read_header(path)
    try:
        image: Any = nib.load(path)
        data = np.asarray(image.dataobj, np.float32).reshape(shape)
    except (OSError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise InputError(f"{path}: the data end before the header says ({error}). Copy the file again.") from error
    notes = []
    bad = ~np.isfinite(data).all(axis=3)
    if bad.any():
        filled = np.nanmax(np.where(np.isfinite(data), data, 0), axis=3) > 0
        part = float((bad & filled).sum() / max(int(filled.sum()), 1))
        if part > MOST_BAD:
            raise InputError(
                f"{path}: {int(bad.sum())} voxels are NaN or infinite in some volume, {part:.1%} of those with signal. "
                f"Up to {MOST_BAD:.0%} can be set to zero; with more, export the series again."
            )
        data[bad] = 0
        notes.append(f"{int(bad.sum())} voxels that were NaN or infinite in some volume were set to zero in all.")
    empty = [volume for volume in range(shape[3]) if data[..., volume].min() == data[..., volume].max()]
    if empty:
        raise InputError(
            f"{path}: volume {empty[0]} of {shape[3]} (from 0) is empty, one value everywhere. A scan that was stopped "
            "leaves such volumes at its end; remove them from image, bval and bvec."
        )
    return data, affine, notes


def mean_of_reverse(
    path: Path, mask: NDArray[np.bool_], levels: tuple[tuple[float, int, int], ...]
) -> NDArray[np.float32]:
    """Mean of the volumes of a reverse-encoded image, aligned with its first.

    Parameters
    ----------
    path : Path
        3-D or 4-D.
    mask : (nx, ny, nz) bool array
        Rough brain, for the alignment.
    levels : tuple
        Resolutions of the alignment, see `motion.LEVELS`.
    """
    image: Any = nib.load(path)
    data = np.nan_to_num(np.asarray(image.dataobj, np.float32))
    if data.ndim == 3 or data.shape[3] == 1:
        return data.reshape(data.shape[:3])
    affine = np.asarray(image.affine, float)
    aligner = RigidAligner(data[..., 0], affine, mask, levels)
    points = grid_points(data.shape[:3], affine)
    aligned = [data[..., 0]]
    for volume in range(1, data.shape[3]):
        matrix = aligner.fit(data[..., volume])[0]
        aligned.append(realign_volume(data[..., volume], affine, matrix, points).reshape(data.shape[:3]))
    return np.asarray(np.mean(aligned, axis=0), np.float32)


def phase_axis(direction: str | None, affine: NDArray[Any]) -> tuple[int, NDArray[np.float64]] | None:
    """Voxel axis of a BIDS direction and its unit vector in the world, RAS; None where it is not known."""
    if direction is None:
        return None
    axis = "ijk".index(direction[0])
    ends = apply_matrix(np.asarray(affine, float), np.vstack([np.zeros(3), np.eye(3)[axis]]))
    along = ends[1] - ends[0]
    return axis, along / np.linalg.norm(along)
