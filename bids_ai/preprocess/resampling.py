"""One-shot resampling: head motion, coregistration and spatial normalisation in one interpolation per volume."""

from __future__ import annotations

import gzip
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from scipy import ndimage

from bids_ai.bids.files import unfinished
from bids_ai.errors import InputError
from bids_ai.preprocess.bold_geometry import apply_matrix, inside_grid, voxel_sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_RESOLUTION = 2.0  # mm; BOLD carries no finer detail after a registration between people
# Template voxels further than this from the template's brain are left 0: nothing there enters an analysis.
MARGIN_MM = 12.0


def output_resolution(bold_affine: NDArray[Any], resolution_mm: float | None) -> float:
    """Edge of the isotropic output voxels, mm: as asked, else the smallest edge of the BOLD voxels, not below 2 mm."""
    if resolution_mm is not None:
        if not 0.5 <= resolution_mm <= 20:
            raise InputError(f"resolution_mm must lie between 0.5 and 20 mm, got {resolution_mm}.")
        return float(resolution_mm)
    return max(MIN_RESOLUTION, round(float(voxel_sizes(bold_affine).min()), 3))


def output_grid(
    template_shape: Sequence[int], template_affine: NDArray[Any], resolution_mm: float
) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    """Grid over the template's field of view with another voxel size; the centres of the first voxels coincide.

    Returns
    -------
    shape : tuple of 3 ints
    affine : array of shape (4, 4)
    """
    spacing = voxel_sizes(template_affine)
    extent = (np.asarray(template_shape[:3]) - 1) * spacing
    shape = np.floor(extent / resolution_mm + 1e-3).astype(int) + 1
    affine = np.array(template_affine, float)
    affine[:3, :3] = affine[:3, :3] / spacing * resolution_mm
    return (int(shape[0]), int(shape[1]), int(shape[2])), affine


def spread(values: NDArray[Any], where: NDArray[np.bool_]) -> NDArray[Any]:
    """Put values into a volume at the true voxels of `where` (C order); 0 elsewhere."""
    volume = np.zeros(where.shape, values.dtype)
    volume[where] = values
    return volume


def resample_series(
    volume_at: Callable[[int], NDArray[Any]],
    affine: NDArray[Any],
    matrices: NDArray[Any],
    targets: Sequence[NDArray[Any]],
    *,
    n_threads: int = 1,
) -> Iterator[list[NDArray[np.float32]]]:
    """Read every volume of a run once, at any number of sets of points, by cubic spline.

    Parameters
    ----------
    volume_at : callable
        Gives volume t, shape (nx, ny, nz).
    affine : array of shape (4, 4)
        Of the run.
    matrices : array of shape (n_times, 4, 4)
        Head position: point of the reference -> point of volume t.
    targets : sequence of arrays of shape (n_points, 3)
        World points in the space of the reference volume.
    n_threads : int
        Volumes under way at once, which also bounds the memory.

    Yields
    ------
    list of arrays of shape (n_points,)
        One per set of points, volume after volume; 0 outside the field of view.
    """
    to_voxel = np.linalg.inv(affine)

    def read(time: int) -> list[NDArray[np.float32]]:
        coefficients = ndimage.spline_filter(
            np.asarray(volume_at(time), np.float32), order=3, output=np.float32, mode="mirror"
        )
        matrix = to_voxel @ matrices[time]
        return [_read_points(coefficients, apply_matrix(matrix, points).T) for points in targets]

    with ThreadPoolExecutor(max(1, n_threads)) as pool:
        under_way: deque[Any] = deque()
        for time in range(len(matrices)):
            under_way.append(pool.submit(read, time))
            if len(under_way) > n_threads:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _read_points(coefficients: NDArray[Any], coordinates: NDArray[Any]) -> NDArray[np.float32]:
    values = ndimage.map_coordinates(
        coefficients, coordinates, order=3, prefilter=False, mode="mirror", output=np.float32
    )
    values[~inside_grid(coordinates, coefficients.shape)] = 0
    return np.asarray(values)


class SeriesWriter:
    """Write a 4-D float32 NIfTI file volume by volume, gzipped if the name ends in .gz; renamed when complete.

    Parameters
    ----------
    path : Path
    shape : tuple of 4 ints
    affine : array of shape (4, 4)
    tr : float
        Seconds.
    code : int
        NIfTI space code: 1 scanner, 4 MNI152.
    """

    def __init__(
        self, path: Path, shape: tuple[int, int, int, int], affine: NDArray[Any], tr: float, *, code: int = 4
    ) -> None:
        self.path, self.shape = Path(path), shape
        self._partial = unfinished(self.path)
        header = nib.Nifti1Header()
        header.set_data_dtype(np.float32)
        header.set_data_shape(shape)
        header.set_xyzt_units("mm", "sec")
        header.set_sform(affine, code=code)
        header.set_qform(affine, code=code)
        header["pixdim"][4] = tr
        header["vox_offset"] = 352
        header["scl_slope"], header["scl_inter"] = 1, 0
        header["magic"] = b"n+1"
        # Level 1: float noise does not compress, the zeros outside the head do at any level. No time stamp:
        # same input, same bytes.
        self._file: Any = (
            gzip.GzipFile(self._partial, "wb", compresslevel=1, mtime=0)
            if self.path.suffix == ".gz"
            else self._partial.open("wb")
        )
        self._file.write(header.binaryblock + b"\x00" * 4)
        self._written = 0

    def append(self, volume: NDArray[Any]) -> None:
        """Write the next volume, shape (nx, ny, nz)."""
        if volume.shape != self.shape[:3]:
            raise ValueError(f"expected a volume of shape {self.shape[:3]}, got {volume.shape}")
        self._file.write(np.asarray(volume, "<f4").tobytes(order="F"))
        self._written += 1

    def __enter__(self) -> SeriesWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.close()
        if kind is None and self._written == self.shape[3]:
            self._partial.replace(self.path)
            return
        self._partial.unlink(missing_ok=True)
        if kind is None:
            raise ValueError(f"{self._written} of {self.shape[3]} volumes were written to {self.path}")
