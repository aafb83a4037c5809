"""Voxels that hold noise and no cortex: deep white matter and ventricles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from bids_ai.preprocess.bold_geometry import apply_matrix, fwhm_to_sigma, voxel_sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_VOXELS = 20
GREY, WHITE, CSF = 1, 2, 3

# (distance from other tissue in mm, least part of the BOLD voxel filled by the tissue): strictest first, the
# first that leaves MIN_VOXELS is taken. Mixed voxels would put grey-matter signal into the regressors.
STRICTNESS = ((2.5, 0.95), (1.5, 0.9), (0.5, 0.8), (0.0, 0.6))


@dataclass(frozen=True)
class NoiseMask:
    """Voxels of one tissue among the in-mask voxels of a run, and how strictly they were chosen."""

    voxels: NDArray[np.bool_]
    margin_mm: float
    min_fraction: float


def noise_masks(
    dseg: NDArray[Any],
    dseg_affine: NDArray[Any],
    points: NDArray[Any],
    bold_voxel_mm: float,
) -> dict[str, NoiseMask]:
    """Choose BOLD voxels deep in white matter and in ventricular CSF.

    Parameters
    ----------
    dseg : array of shape (nx, ny, nz)
        T1w tissue labels: 1 GM, 2 WM, 3 CSF.
    dseg_affine : array of shape (4, 4)
    points : array of shape (n_voxels, 3)
        Centres of the in-mask BOLD voxels in T1w space, mm.
    bold_voxel_mm : float
        Edge of a BOLD voxel: the labels are averaged over that width before they are read.

    Returns
    -------
    dict
        `csf` and `white_matter`.
    """
    labels = np.rint(dseg).astype(np.int16)
    found = {}
    coordinates = apply_matrix(np.linalg.inv(dseg_affine), points).T

    def at_points(volume: NDArray[Any]) -> NDArray[np.float32]:
        return np.asarray(ndimage.map_coordinates(volume.astype(np.float32), coordinates, order=1, cval=0.0))

    def distance_from(tissue: NDArray[Any]) -> NDArray[np.float32]:
        # To the border of the nearest voxel rather than to its centre, or coarse labels would look far apart.
        sizes = voxel_sizes(dseg_affine)
        return at_points(ndimage.distance_transform_edt(~tissue, sampling=tuple(sizes))) - sizes.mean() / 2

    depth = distance_from(labels == 0)
    for name, label in (("csf", CSF), ("white_matter", WHITE)):
        # White matter must be deep in itself. CSF must be far from grey matter and from the surface of the
        # brain, which leaves the ventricles: sulcal CSF is too thin to hold a BOLD voxel that is free of
        # cortex.
        distance = distance_from(labels == GREY if label == CSF else labels != label)
        width = fwhm_to_sigma(bold_voxel_mm, dseg_affine)
        filled = at_points(ndimage.gaussian_filter((labels == label).astype(np.float32), width))
        for margin, fraction in STRICTNESS:
            inside = (filled >= fraction) & (distance > margin)
            if label == CSF:
                inside &= depth > 4 * margin
            if inside.sum() >= MIN_VOXELS:
                break
        found[name] = NoiseMask(np.asarray(inside), margin, fraction)
    return found
