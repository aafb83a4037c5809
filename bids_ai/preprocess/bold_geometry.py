"""Coordinates of functional images: world points, sampling, ITK transforms.

World coordinates are scanner RAS+ millimetres (nibabel's). ITK counts in LPS+; the change of sign happens
here and nowhere else. A matrix called `a_to_b` maps a POINT of space a to the same anatomical point in space
b. To bring an IMAGE from b onto the grid of a, that same matrix is used (ITK's convention).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from scipy import ndimage

from bids_ai.bids.files import atomic
from bids_ai.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def apply_matrix(matrix: NDArray[Any], points: NDArray[Any]) -> NDArray[Any]:
    """Map points of shape (n, 3) by a 4 x 4 matrix."""
    return points @ matrix[:3, :3].T.astype(points.dtype) + matrix[:3, 3].astype(points.dtype)


def grid_points(shape: Sequence[int], affine: NDArray[Any], mask: NDArray[Any] | None = None) -> NDArray[np.float32]:
    """World coordinates of the voxels of a grid, (n, 3) in C order; only those inside `mask` if given."""
    chosen = np.ones(tuple(shape), bool) if mask is None else np.asarray(mask, bool)
    voxels = np.argwhere(chosen).astype(np.float32)
    return apply_matrix(np.asarray(affine), voxels).astype(np.float32)


def inside_grid(coordinates: NDArray[Any], shape: Sequence[int], margin: float = 0.5) -> NDArray[np.bool_]:
    """Tell which voxel coordinates, shape (3, n), lie on a grid (within `margin` voxels of its outer centres)."""
    upper = np.asarray(shape[:3], dtype=float)[:, None] - 1 + margin
    return np.asarray(((coordinates >= -margin) & (coordinates <= upper)).all(axis=0))


def sample(volume: NDArray[Any], affine: NDArray[Any], points: NDArray[Any], *, order: int = 1) -> NDArray[np.float32]:
    """Values of a 3-D volume at world points (n, 3) by spline interpolation; 0 outside the grid."""
    coordinates = apply_matrix(np.linalg.inv(affine), points).T
    values = ndimage.map_coordinates(
        np.asarray(volume, np.float32), coordinates, order=order, mode="nearest", output=np.float32
    )
    values[~inside_grid(coordinates, volume.shape)] = 0
    return np.asarray(values)


def voxel_sizes(affine: NDArray[Any]) -> NDArray[np.float64]:
    """Edge lengths of a voxel, mm."""
    return np.sqrt((np.asarray(affine, float)[:3, :3] ** 2).sum(axis=0))


def fwhm_to_sigma(fwhm_mm: float, affine: NDArray[Any]) -> NDArray[np.float64]:
    """Gaussian standard deviation in voxels, per axis, of a kernel of `fwhm_mm`."""
    return fwhm_mm / (2 * np.sqrt(2 * np.log(2))) / voxel_sizes(affine)


def load(path: Path | str) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Data (float32) and affine of a 3-D image."""
    image: Any = nib.load(path)
    return np.asarray(image.dataobj, dtype=np.float32), np.asarray(image.affine, float)


def save(path: Path | str, data: NDArray[Any], affine: NDArray[Any], *, code: int = 1) -> Path:
    """Write a NIfTI-1 file under a temporary name, then rename; `code` is the NIfTI space code (1 scanner, 4 MNI)."""
    path = Path(path)
    image = nib.Nifti1Image(data, affine)
    image.set_sform(affine, code=code)
    image.set_qform(affine, code=code)
    image.header.set_xyzt_units("mm", "sec")
    with atomic(path) as temporary:
        nib.save(image, temporary)
    return path


def ants_image(volume: NDArray[Any], affine: NDArray[Any]) -> Any:
    """Make an `ants.ANTsImage` of a volume; the axes are made exactly orthonormal, as ITK requires."""
    import ants

    spacing = voxel_sizes(affine)
    lps = RAS_TO_LPS @ np.asarray(affine, float)
    left, _, right = np.linalg.svd(lps[:3, :3] / spacing)
    return ants.from_numpy(
        np.ascontiguousarray(volume, dtype=np.float32),
        origin=tuple(lps[:3, 3]),
        spacing=tuple(spacing),
        direction=left @ right,
    )


def write_itk_affine(path: Path | str, matrix: NDArray[Any]) -> Path:
    """Write a RAS point matrix as an ITK text transform that ANTs, nitransforms and Slicer read."""
    lps = RAS_TO_LPS @ np.asarray(matrix, float) @ RAS_TO_LPS
    numbers = [*lps[:3, :3].ravel(), *lps[:3, 3]]
    path = Path(path)
    path.write_text(
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
        f"Parameters: {' '.join(repr(float(value)) for value in numbers)}\nFixedParameters: 0 0 0\n"
    )
    return path


def read_itk_affine(path: Path | str) -> NDArray[np.float64]:
    """Read any linear ITK transform file as a 4 x 4 RAS point matrix."""
    import ants

    transform = ants.read_transform(str(path))
    # The images of four points define the matrix whatever the parametrisation (Euler, versor, affine) and
    # centre.
    corners = np.vstack([np.zeros(3), np.eye(3)])
    images = np.array([ants.apply_ants_transform_to_point(transform, tuple(corner)) for corner in corners])
    lps = np.eye(4)
    lps[:3, :3] = (images[1:] - images[0]).T
    lps[:3, 3] = images[0]
    return RAS_TO_LPS @ lps @ RAS_TO_LPS


def check_transform(path: Path | str) -> None:
    """Refuse a file that is no ITK transform; ANTs would end the whole process when asked to map points by it.

    Raises
    ------
    InputError
    """
    import ants

    try:
        ants.read_transform(str(path))
    except RuntimeError as error:
        raise InputError(f"{path}: not a readable ITK transform. Make it again.") from error


def warp_points(points: NDArray[Any], transform: Path | str) -> NDArray[np.float32]:
    """Map world points (n, 3) by an ITK transform file, linear or composite, as resampling an image would."""
    import ants
    import pandas as pd

    lps = np.asarray(points, float) * [-1, -1, 1]
    moved = ants.apply_transforms_to_points(3, pd.DataFrame(lps, columns=["x", "y", "z"]), [str(transform)])
    return (moved[["x", "y", "z"]].to_numpy() * [-1, -1, 1]).astype(np.float32)
