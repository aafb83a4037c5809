"""Grey matter of labelled regions as dipoles at right angles to the cortex."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from bids_ai.errors import InputError
from bids_ai.preprocess.eeg_shells import HeadShells, inside_inner_skull

Array = NDArray[np.floating]

#: Thickness of the cortex, mm: grey-matter volume over this is cortical area. Fischl & Dale 2000,
#: doi:10.1073/pnas.200033797.
CORTEX_MM = 2.5
#: Dipoles of one region in one block of this edge are summed to one at their middle, mm.
BLOCK_MM = 8.0
#: Smoothing of the tissue maps before their gradient is taken, mm: finer folds than an average brain has are noise.
_NORMAL_SMOOTH_MM = 2.0
#: A gradient weaker than this (1/mm) has no side: grey matter without layers, whose fields cancel.
_LEAST_GRADIENT = 0.02
#: Grey matter less than this in a voxel is left out.
_LEAST_GREY = 0.1
#: Dipoles keep this distance to the inner skull, mm; what lies nearer is drawn in. Linear elements of about 1 cm blow
#: up the field of dipoles much nearer than half their edge.
_CLEARANCE_MM = 4.0


@dataclass(frozen=True)
class CorticalSheet:
    """The cortex as dipoles.

    Attributes
    ----------
    positions_mm : array, shape (n_dipoles, 3)
        RAS of the image.
    vector_mm2 : array, shape (n_dipoles, 3)
        Vector sum of the cortical area that a dipole stands for, outwards: times a dipole moment density it is a
        moment.
    region : array of int, shape (n_dipoles,)
        Row of the region.
    region_mm2 : array, shape (n_regions,)
        Cortical area of every region, folds and all.
    """

    positions_mm: Array
    vector_mm2: Array
    region: NDArray[np.intp]
    region_mm2: Array


def cortical_sheet(
    grey: Array,
    white: Array,
    affine: Array,
    labels: NDArray[np.integer],
    n_regions: int,
    shells: HeadShells,
    block_mm: float = BLOCK_MM,
) -> CorticalSheet:
    """Dipoles of all labelled grey matter, at right angles to the cortex.

    The normal is the gradient from white matter to what lies outside of grey matter. In nuclei, where there is no
    side, the vectors cancel, as closed fields do.

    Parameters
    ----------
    grey, white : arrays, shape (nx, ny, nz)
        Share of the tissues in every voxel, 0 to 1.
    affine : array, shape (4, 4)
        Voxel to mm RAS, isotropic.
    labels : array of int, shape (nx, ny, nz)
        1..n_regions, 0 outside.
    n_regions : int
    shells : HeadShells
        Dipoles stay within the inner skull.
    block_mm : float
        Dipoles of one region in one block of this edge are one.

    Returns
    -------
    CorticalSheet

    Raises
    ------
    InputError
        When no labelled voxel has grey matter.
    """
    voxels = np.argwhere((labels > 0) & (grey > _LEAST_GREY))
    if not len(voxels):
        raise InputError("Labelled grey matter is wanted for the EEG; no voxel of the image has both.")
    at = tuple(voxels.T)
    voxel_mm = float(np.linalg.norm(affine[:3, 0]))
    area = grey[at].astype(float) * voxel_mm**3 / CORTEX_MM
    normals = _normals(grey, white, affine, voxels)
    points = voxels.astype(float) @ affine[:3, :3].T + affine[:3, 3]
    region = labels[at].astype(np.intp) - 1

    block = np.floor(points / block_mm).astype(np.int64)
    keys, member = np.unique(np.c_[region, block], axis=0, return_inverse=True)
    member = member.ravel()
    middle = _sums(member, area[:, None] * points) / _sums(member, area[:, None])
    vector = _sums(member, area[:, None] * normals)
    of_region = np.zeros(n_regions)
    np.add.at(of_region, region, area)
    return CorticalSheet(
        inside_inner_skull(middle, shells, _CLEARANCE_MM), vector, keys[:, 0].astype(np.intp), of_region
    )


def _sums(member: NDArray[np.integer], values: Array) -> Array:
    """Sums of the rows of each member, shape (n_members, n_columns)."""
    sums = np.zeros((int(member.max()) + 1, values.shape[1]))
    np.add.at(sums, member, values)
    return sums


def _normals(grey: Array, white: Array, affine: Array, voxels: NDArray[np.integer]) -> Array:
    """Outward direction of the cortex in some voxels, RAS, shape (n_voxels, 3); short where it is unclear."""
    voxel_mm = float(np.linalg.norm(affine[:3, 0]))
    sigma = _NORMAL_SMOOTH_MM / voxel_mm
    margin = int(np.ceil(4.0 * sigma)) + 1
    corner = np.maximum(voxels.min(axis=0) - margin, 0)
    box = tuple(slice(low, high + margin + 1) for low, high in zip(corner, voxels.max(axis=0), strict=True))
    depth = gaussian_filter((1.0 - grey[box] - 2.0 * white[box]).astype(np.float32), sigma)
    at = tuple((voxels - corner).T)
    gradient = np.stack([part[at] for part in np.gradient(depth, voxel_mm)], axis=1).astype(float)
    turned = gradient @ (affine[:3, :3] / voxel_mm).T
    return turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), _LEAST_GRADIENT)
