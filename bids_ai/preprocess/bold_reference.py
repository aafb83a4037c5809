"""Reading a BOLD run, its non-steady-state volumes, its reference volume and its mask."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from scipy import ndimage

from bids_ai.bids.files import unfinished
from bids_ai.errors import InputError
from bids_ai.preprocess.bold_geometry import ants_image, apply_matrix, grid_points, voxel_sizes
from bids_ai.preprocess.motion import LEVELS, RigidAligner

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The reference is the median of this many steady volumes, evenly spread: more adds time and no sharpness.
REFERENCE_VOLUMES = 21
# Modified z-score of Iglewicz & Hoaglin (1993), as in nipype's NonSteadyStateDetector.
NON_STEADY_Z = 3.5
# A leading volume must also stand out by this part of the signal: T1 saturation changes it by several
# percent.
NON_STEADY_CHANGE = 0.01
NON_STEADY_WINDOW = 50


def check_header(path: Path) -> tuple[int, int, int, int]:
    """Shape of a BOLD run, refused unless it is a series.

    Raises
    ------
    InputError
        If the file cannot be read or holds a single volume.
    """
    try:
        image: Any = nib.load(path)
    except (OSError, EOFError, zlib.error, nib.filebasedimages.ImageFileError) as error:
        raise InputError(f"{path}: not a readable NIfTI image ({error}). Copy or convert it again.") from error
    shape = tuple(int(n) for n in image.shape)
    while len(shape) > 4 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 4 or shape[3] < 2:
        raise InputError(
            f"{path}: a BOLD run must be 4-D with at least two volumes, got shape {shape}. "
            "A single volume is a reference image (suffix sbref), not a run."
        )
    if min(shape[:3]) < 4:
        raise InputError(f"{path}: fewer than 4 voxels along an axis (shape {shape}); motion cannot be estimated.")
    return shape[0], shape[1], shape[2], shape[3]


def unpack(path: Path, target: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Stream a run into an uncompressed float32 memory map, volume by volume, and check its values.

    Parameters
    ----------
    path : Path
        NIfTI file, plain or gzip.
    target : Path
        Working copy, raw float32, written anew.

    Returns
    -------
    series : memory map of shape (nx, ny, nz, n_times)
    affine : array of shape (4, 4)

    Raises
    ------
    InputError
        If the file is truncated, holds values that are not finite, or does not vary in time.
    """
    shape = check_header(path)
    image: Any = nib.load(path, keep_file_open=True)
    partial = unfinished(target)
    # Fortran order: one volume is one run of bytes, so that writing and reading volumes is sequential.
    series = np.memmap(partial, np.float32, "w+", shape=shape, order="F")
    whole = (slice(None),) * 3
    largest_change = 0.0
    try:
        for time in range(shape[3]):
            volume = np.asarray(image.dataobj[(*whole, time)], np.float32).reshape(shape[:3])
            if not np.isfinite(volume).all():
                bad = int((~np.isfinite(volume)).sum())
                raise InputError(
                    f"{path}: volume {time} has {bad} values that are not finite; no step can use them. "
                    "Export it again."
                )
            if volume.min() == volume.max():
                raise InputError(
                    f"{path}: volume {time} of {shape[3]} is empty (one value everywhere); a scan that was stopped "
                    "leaves such volumes at its end. Remove them."
                )
            series[..., time] = volume
            largest_change = max(largest_change, float(np.abs(volume - series[..., 0]).max()))
    except (OSError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: the data end before the header says ({error}). Copy the file again.") from error
    if largest_change == 0:
        partial.unlink(missing_ok=True)
        raise InputError(f"{path}: all {shape[3]} volumes are equal; there is no signal to analyse.")
    partial.replace(target)
    return series, np.asarray(image.affine, float)


def detect_non_steady_state(global_signal: NDArray[Any], *, window: int = NON_STEADY_WINDOW) -> int:
    """Count the leading volumes before the longitudinal magnetisation is steady.

    Parameters
    ----------
    global_signal : array of shape (n_times,)
        Mean of each volume.
    window : int
        Frames from the start that are compared with each other.

    Returns
    -------
    int
        Leading frames whose modified z-score (median absolute deviation) exceeds 3.5 and which differ from
        the median by > 1 %.
    """
    signal = np.asarray(global_signal, float)[:window]
    deviation = np.abs(signal - np.median(signal))
    spread = np.median(deviation)
    score = 0.6745 * deviation / spread if spread > 0 else np.where(deviation > 0, np.inf, 0.0)
    outlier = (score > NON_STEADY_Z) & (deviation > NON_STEADY_CHANGE * abs(np.median(signal)))
    steady = np.flatnonzero(~outlier)
    leading = int(steady[0]) if len(steady) else 0
    # Saturation takes seconds; when half of the window stands out, something else is wrong.
    return leading if leading < len(signal) // 2 else 0


def rough_mask(reference: NDArray[Any], affine: NDArray[Any], *, dilate_mm: float = 0.0) -> NDArray[np.bool_]:
    """Brain mask of an EPI volume from its histogram and its largest component (nilearn's `compute_epi_mask`)."""
    from nilearn.masking import compute_epi_mask

    image = nib.Nifti1Image(np.asarray(reference, np.float32), affine)
    mask = np.asarray(compute_epi_mask(image, exclude_zeros=True, opening=1).dataobj).astype(bool)
    mask = ndimage.binary_fill_holes(mask)
    if dilate_mm > 0:
        sampling = tuple(voxel_sizes(affine))
        mask = ndimage.distance_transform_edt(~mask, sampling=sampling) <= dilate_mm
    return np.asarray(mask)


def realign_volume(
    volume: NDArray[Any], affine: NDArray[Any], matrix: NDArray[Any], points: NDArray[Any]
) -> NDArray[np.float32]:
    """Read a volume (cubic spline) at reference points moved by `matrix`, reference -> volume."""
    coordinates = apply_matrix(np.linalg.inv(affine) @ matrix, points).T
    return np.asarray(ndimage.map_coordinates(volume, coordinates, order=3, mode="nearest", output=np.float32))


def robust_reference(
    volume_at: Callable[[int], NDArray[Any]],
    affine: NDArray[Any],
    steady: range,
    *,
    levels: tuple[tuple[float, int, int], ...] = LEVELS,
) -> NDArray[np.float32]:
    """Median of motion-corrected steady volumes.

    Parameters
    ----------
    volume_at : callable
        Gives volume t.
    affine : array of shape (4, 4)
    steady : range
        Frames in the steady state.
    levels : tuple
        Resolutions of the alignment, see `motion.LEVELS`.

    Returns
    -------
    array of shape (nx, ny, nz)
    """
    count = min(REFERENCE_VOLUMES, len(steady))
    chosen = np.unique(np.linspace(steady.start, steady.stop - 1, count).round().astype(int))
    volumes = [np.array(volume_at(int(time))) for time in chosen]
    # Middle frame first: its position is the least far from all others.
    template = volumes[len(volumes) // 2]
    mask = rough_mask(template, affine, dilate_mm=6.0)
    aligner = RigidAligner(template, affine, mask, levels)
    points = grid_points(template.shape, affine)
    aligned = [realign_volume(v, affine, aligner.fit(v)[0], points).reshape(v.shape) for v in volumes]
    return np.asarray(np.median(aligned, axis=0), np.float32)


def correct_bias(
    volume: NDArray[Any], affine: NDArray[Any], mask: NDArray[Any], *, sloppy: bool = False
) -> NDArray[np.float32]:
    """N4 bias field correction (Tustison et al. 2010, doi:10.1109/TMI.2010.2046908) of a reference volume."""
    import ants

    positive = np.clip(volume, 0, None)
    corrected = ants.n4_bias_field_correction(
        ants_image(positive, affine),
        mask=ants_image(mask, affine),
        shrink_factor=4 if sloppy else 2,
        convergence={"iters": [20, 10] if sloppy else [50, 50, 30, 20], "tol": 1e-6},
        spline_param=100,
    )
    return np.asarray(corrected.numpy(), np.float32)
