"""Applying an atlas: region series from 4-D data, and the labels in native space for inspection."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from scipy import sparse

from bids_ai.bids.files import atomic
from bids_ai.errors import InputError
from bids_ai.parcellation.names import listed
from bids_ai.parcellation.volumes import load_volume

CHUNK_BYTES = 256 * 2**20
"""Memory for frames that are read at a time, bytes (as float32)."""

_GRID_TOLERANCE_MM = 0.01


@dataclass(frozen=True)
class RegionSeries:
    """Mean series of regions.

    Attributes
    ----------
    series : float64 array (n_times, n_regions)
        Columns in the order of the node table; NaN for regions that were not kept, and in frames without data.
        In the units of the data.
    coverage : pandas.DataFrame (n_regions,)
        ``index name n_voxels n_covered coverage kept reason``: voxels of the region on the grid, those with data,
        their share (0 to 1), whether it suffices, and why not (None for kept regions).
    """

    series: np.ndarray
    coverage: pd.DataFrame


def region_series(
    bold: Path | nib.Nifti1Image,
    labels: nib.Nifti1Image,
    nodes: pd.DataFrame,
    *,
    mask: nib.Nifti1Image | None = None,
    min_coverage: float = 0.5,
    chunk_bytes: int = CHUNK_BYTES,
) -> RegionSeries:
    """Average 4-D data within regions.

    A voxel counts if it lies in the mask, is finite in every frame, and varies. Frames in which no voxel is finite
    (censored ones) are left out of this and stay NaN. The data are read in chunks of frames; a second time only if
    there were voxels with some non-finite or with constant non-zero values, whose part in the sums must go.

    Parameters
    ----------
    bold : path or nibabel image
        4-D data (x, y, z, n_times).
    labels : nibabel.Nifti1Image
        3-D integer labels on the same grid.
    nodes : pandas.DataFrame
        Node table.
    mask : nibabel.Nifti1Image, optional
        3-D brain mask on the same grid.
    min_coverage : float
        Smallest share of a region's voxels with data, 0 to 1; a region below it is NaN.
    chunk_bytes : int
        Memory for the frames read at a time.

    Returns
    -------
    RegionSeries

    Raises
    ------
    InputError
        Another grid, not 4-D, labels that the node table lacks, a coverage outside 0 to 1, data that end early.
    """
    image = _open(bold)
    if not 0 <= min_coverage <= 1:
        raise InputError(f"The smallest coverage is a share from 0 to 1, got {min_coverage:g}.")
    if len(image.shape) != 4:
        raise InputError(f"Series need 4-D data, got the shape {image.shape}.")
    _same_grid(image, labels, "The labels")
    volume = np.asanyarray(labels.dataobj)
    column = _columns(volume, nodes)
    inside = column >= 0
    if mask is not None:
        _same_grid(image, mask, "The mask")
        inside &= np.asanyarray(mask.dataobj).reshape(volume.shape) > 0
    total = np.bincount(column[column >= 0], minlength=len(nodes))
    usable = np.flatnonzero(inside)  # in C order of the volume
    while True:
        assign = _averaging(column.ravel()[usable], len(nodes))
        sums, bad, must_repeat = _sum_frames(image, usable, assign, chunk_bytes)
        usable = usable[~bad]
        if not must_repeat:
            break
    covered = np.bincount(column.ravel()[usable], minlength=len(nodes))
    coverage = _coverage(nodes, total, covered, min_coverage)
    with np.errstate(invalid="ignore", divide="ignore"):
        series = sums / covered
    series[:, ~coverage["kept"].to_numpy()] = np.nan
    return RegionSeries(series, coverage)


def labels_to_native(
    labels: Path | nib.Nifti1Image,
    reference: Path,
    transforms: Sequence[Path],
    output: Path,
    *,
    invert: Sequence[bool] | None = None,
) -> list[int]:
    """Write an atlas in the space of an image (T1w, BOLD), for inspection.

    Parameters
    ----------
    labels : path or nibabel image
        3-D integer labels.
    reference : pathlib.Path
        Image whose grid is wanted; of a 4-D one the first three dimensions.
    transforms : sequence of pathlib.Path
        From the labels' space to the reference, in the order of `ants.apply_transforms`, or one composite file.
    output : pathlib.Path
        NIfTI file to write (at once, by renaming).
    invert : sequence of bool, optional
        Which of the transforms to invert (matrices only).

    Returns
    -------
    list of int
        Labels without a voxel there.
    """
    from bids_ai.parcellation.spaces import _grid_image, warp_labels

    source = load_volume(labels) if isinstance(labels, (str, os.PathLike)) else labels
    source = nib.Nifti1Image(np.asanyarray(source.dataobj), source.affine)
    moved = warp_labels(source, _grid_image(reference), transforms, invert=invert)
    for form in ("set_sform", "set_qform"):  # native space, not MNI
        getattr(moved, form)(moved.affine, code="scanner")
    with atomic(Path(output)) as temporary:
        nib.save(moved, temporary)
    before, after = (np.unique(np.asanyarray(image.dataobj)) for image in (source, moved))
    return [int(label) for label in np.setdiff1d(before, after)]


def _open(bold: Path | nib.Nifti1Image) -> nib.Nifti1Image:
    if not isinstance(bold, (str, os.PathLike)):
        return bold
    try:
        # one open file, so that successive chunks of a .nii.gz go on where the last ended
        return load_volume(bold, keep_file_open=True)
    except (nib.filebasedimages.ImageFileError, OSError, EOFError) as fault:
        raise InputError(f"{bold} cannot be read: {fault}") from fault


def _same_grid(image: nib.Nifti1Image, other: nib.Nifti1Image, what: str) -> None:
    shape = tuple(other.shape[:3])
    if shape != tuple(image.shape[:3]) or len([n for n in other.shape[3:] if n > 1]):
        raise InputError(f"{what} have the shape {other.shape}, the data {image.shape}: they must share one grid.")
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(3, -1)
    gap = np.abs((image.affine - other.affine) @ np.vstack([corners, np.ones(8)])).max()
    if gap > _GRID_TOLERANCE_MM:
        raise InputError(
            f"{what} and the data lie up to {gap:.2f} mm apart though their shapes agree: resample one to "
            "the other's grid."
        )


def _columns(volume: np.ndarray, nodes: pd.DataFrame) -> np.ndarray:
    """Turn labels into columns of the series, -1 for background."""
    volume = volume.reshape(volume.shape[:3])
    present = np.unique(volume)
    index = nodes["index"].to_numpy()
    lacking = np.setdiff1d(present[present != 0], index)
    if len(lacking):
        raise InputError(
            f"Labels of the volume that the node table lacks: {listed(lacking)}. The table belongs to another atlas."
        )
    lookup = np.full(int(max(present.max(), index.max())) + 1, -1)
    lookup[index] = np.arange(len(index))
    lookup[0] = -1
    return lookup[volume.astype(np.int64)]


def _averaging(column: np.ndarray, n_regions: int) -> sparse.csr_matrix:
    """Indicator (n_regions, n_voxels): rows add up the voxels of a region."""
    n = len(column)
    return sparse.csr_matrix((np.ones(n), (column, np.arange(n))), shape=(n_regions, n))


def _frames(image: nib.Nifti1Image, voxels: np.ndarray, chunk_bytes: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the first frame of each chunk and its data (n_frames, n_voxels), float64."""
    shape = image.shape
    step = max(1, int(chunk_bytes // (np.prod(shape[:3]) * 4)))
    for first in range(0, shape[3], step):
        try:
            chunk = np.asanyarray(image.dataobj[..., first : first + step])
        except (OSError, EOFError, ValueError) as fault:
            raise InputError(f"The data end or are damaged at frame {first} of {shape[3]}: {fault}") from fault
        yield first, chunk.reshape(-1, chunk.shape[3])[voxels].T.astype(np.float64)


def _sum_frames(
    image: nib.Nifti1Image, voxels: np.ndarray, assign: sparse.csr_matrix, chunk_bytes: int
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Add up the voxels of each region.

    Returns
    -------
    sums : array (n_times, n_regions)
    bad : bool array (n_voxels,)
        Not finite in a frame that has data, or constant.
    must_repeat : bool
        Bad voxels contributed to the sums.
    """
    sums = np.full((image.shape[3], assign.shape[0]), np.nan)
    low, high = np.full(len(voxels), np.inf), np.full(len(voxels), -np.inf)
    broken = np.zeros(len(voxels), bool)
    for first, frames in _frames(image, voxels, chunk_bytes):
        finite = np.isfinite(frames)
        held = finite.any(axis=1)
        if not held.any():
            continue
        if not finite[held].all():
            broken |= ~finite[held].all(axis=0)
            frames = np.where(finite, frames, 0.0)
        frames = frames[held]
        low, high = np.minimum(low, frames.min(axis=0)), np.maximum(high, frames.max(axis=0))
        sums[first + np.flatnonzero(held)] = (assign @ frames.T).T
    constant = high <= low
    contributed = (broken & ((low != 0) | (high != 0))) | (constant & (low != 0) & np.isfinite(low))
    return sums, broken | constant, bool(contributed.any())


def _coverage(nodes: pd.DataFrame, total: np.ndarray, covered: np.ndarray, least: float) -> pd.DataFrame:
    share = covered / np.maximum(total, 1)
    kept = (covered > 0) & (share >= least)
    reasons = [
        None
        if ok
        else "no voxel of the region on the grid"
        if not n
        else f"{100 * part:.0f} % of its voxels have data, below {100 * least:.0f} %"
        for ok, n, part in zip(kept, total, share, strict=True)
    ]
    return pd.DataFrame(
        {
            "index": nodes["index"].to_numpy(),
            "name": nodes["name"].to_numpy(),
            "n_voxels": total,
            "n_covered": covered,
            "coverage": share,
            "kept": kept,
            "reason": pd.Series(reasons, dtype=object),
        }
    )
