"""From the activity of regions to potentials on the scalp: dipoles of the grey matter in a head of three shells."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from bids_ai.errors import InputError
from bids_ai.simulate.eeg_head import HeadShells
from bids_ai.simulate.eeg_montage import Cap
from bids_ai.simulate.phantom import Phantom
from bids_ai.simulate.warp import apply_affine

Array = NDArray[np.floating]

#: Brain, skull, scalp, S/m. Skull and scalp are the weighted means of McCann et al. 2019,
#: doi:10.1007/s10548-019-00710-2; the one brain lies between their grey (0.47) and white matter (0.22).
CONDUCTIVITY_S_PER_M = (0.33, 0.02, 0.41)
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
        T1w RAS.
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


@dataclass(frozen=True)
class Leadfield:
    """Potential at the electrodes, before any reference, of 1 nAm/mm2 in the cortex.

    Attributes
    ----------
    regions : array, shape (n_regions, n_channels)
        Of a whole region that acts as one, microvolts.
    dipoles : array, shape (n_dipoles, n_channels)
        Of every dipole of the sheet, microvolts.
    sheet : CorticalSheet
    """

    regions: Array
    dipoles: Array
    sheet: CorticalSheet

    def of_regions(self, weight: Array) -> Array:
        """Sums over the dipoles of every region, each times its weight; shape (n_regions, n_channels)."""
        sums = np.zeros((len(self.sheet.region_mm2), self.dipoles.shape[1]))
        np.add.at(sums, self.sheet.region, self.dipoles * weight[:, None])
        return sums


def cortical_sheet(
    phantom: Phantom, labels: NDArray[np.integer], n_regions: int, shells: HeadShells, block_mm: float = BLOCK_MM
) -> CorticalSheet:
    """Dipoles of all labelled grey matter, at right angles to the cortex.

    The normal is the gradient from white matter to what lies outside of grey matter. In nuclei, where there is no
    side, the vectors cancel, as closed fields do.

    Parameters
    ----------
    phantom : Phantom
    labels : array of int, shape of the phantom
        1..n_regions, 0 outside.
    n_regions : int
    shells : HeadShells
        Dipoles stay within the inner skull.
    block_mm : float

    Returns
    -------
    CorticalSheet
    """
    grey = phantom.fractions["GM"]
    voxels = np.argwhere((labels > 0) & (grey > _LEAST_GREY))
    if not len(voxels):
        raise InputError("Labelled grey matter is wanted for the EEG; no voxel of the phantom has both.")
    at = tuple(voxels.T)
    area = grey[at].astype(float) * phantom.voxel_mm**3 / CORTEX_MM
    normals = _normals(phantom, voxels)
    points = apply_affine(phantom.affine, voxels.astype(float))
    region = labels[at].astype(np.intp) - 1

    block = np.floor(points / block_mm).astype(np.int64)
    keys, member = np.unique(np.c_[region, block], axis=0, return_inverse=True)
    member = member.ravel()
    middle = _sums(member, area[:, None] * points) / _sums(member, area[:, None])
    vector = _sums(member, area[:, None] * normals)
    of_region = np.zeros(n_regions)
    np.add.at(of_region, region, area)
    return CorticalSheet(_drawn_in(middle, shells), vector, keys[:, 0].astype(np.intp), of_region)


def leadfield(sheet: CorticalSheet, cap: Cap, shells: HeadShells) -> Leadfield:
    """Potentials of the sheet at the electrodes and, behind them, at the reference sites.

    Parameters
    ----------
    sheet : CorticalSheet
    cap : Cap
    shells : HeadShells

    Returns
    -------
    Leadfield
        `n_channels` are those of the cap plus the reference sites.
    """
    gain = forward_solution(sheet, cap, shells)["sol"]["data"].reshape(-1, len(sheet.region), 3)
    # MNE: volts per Am; asked for: microvolts per nAm.
    dipoles = np.einsum("cdk,dk->dc", gain, sheet.vector_mm2) * 1e-3
    n_regions = len(sheet.region_mm2)
    regions = np.stack([dipoles[sheet.region == region].sum(axis=0) for region in range(n_regions)])
    return Leadfield(regions, dipoles, sheet)


def forward_solution(sheet: CorticalSheet, cap: Cap, shells: HeadShells) -> Any:
    """MNE's forward solution with free orientation over the dipoles of a sheet (`mne.Forward`).

    Parameters
    ----------
    sheet : CorticalSheet
    cap : Cap
    shells : HeadShells

    Returns
    -------
    mne.Forward
        Channels are those of the cap, then the reference sites.
    """
    import mne

    info = measurement_info(cap, with_reference=True)
    vectors = np.where(np.abs(sheet.vector_mm2).sum(axis=1, keepdims=True) > 0.0, sheet.vector_mm2, [0.0, 0.0, 1.0])
    normals = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    space = {"rr": sheet.positions_mm / 1000.0, "nn": normals}
    source = mne.setup_volume_source_space(pos=space, verbose="error")
    trans = mne.transforms.Transform("head", "mri", _head_to_mri(cap))
    # MNE numbers threads itself; one is what a job is given.
    forward = mne.make_forward_solution(
        info, trans, source, _conductor(shells), meg=False, eeg=True, mindist=0.0, n_jobs=1, verbose="error"
    )
    if forward["nsource"] != len(sheet.region):
        raise InputError(
            f"All {len(sheet.region)} dipoles must lie within the inner skull; {forward['nsource']} do. "
            "Give the shells of the same head."
        )
    return forward


def measurement_info(cap: Cap, sampling_hz: float = 250.0, *, with_reference: bool = False) -> Any:
    """MNE's `Info` of the cap, electrodes in CapTrak (MNE's head frame)."""
    import mne

    names, points = list(cap.names), cap.positions_mm
    if with_reference:
        names += [f"REF{number}" for number in range(len(cap.reference_mm))]
        points = np.concatenate([points, cap.reference_mm])
    info = mne.create_info(names, sampling_hz, "eeg", verbose="error")
    places = dict(zip(names, cap.in_captrak(points) / 1000.0, strict=True))
    marks = {mark: cap.in_captrak(place) / 1000.0 for mark, place in cap.landmarks_mm.items()}
    montage = mne.channels.make_dig_montage(
        places, nasion=marks["NAS"], lpa=marks["LPA"], rpa=marks["RPA"], coord_frame="head"
    )
    info.set_montage(montage, verbose="error")
    return info


def _head_to_mri(cap: Cap) -> Array:
    """CapTrak to T1w RAS in metres, which stands for MNE's MRI frame."""
    affine = np.linalg.inv(cap.to_captrak)
    affine[:3, 3] /= 1000.0
    return affine


def _conductor(shells: HeadShells) -> Any:
    """Boundary elements of the shells; MNE checks that they are closed and nested."""
    import mne

    surfaces = {"inner_skull": shells.inner_skull, "outer_skull": shells.outer_skull, "outer_skin": shells.skin}
    with tempfile.TemporaryDirectory() as subjects:
        where = Path(subjects) / "patient" / "bem"
        where.mkdir(parents=True)
        for name, vertices in surfaces.items():
            mne.write_surface(where / f"{name}.surf", vertices, shells.triangles, verbose="error")
        model = mne.make_bem_model(
            "patient", ico=None, conductivity=CONDUCTIVITY_S_PER_M, subjects_dir=subjects, verbose="error"
        )
    return mne.make_bem_solution(model, verbose="error")


def _sums(member: NDArray[np.integer], values: Array) -> Array:
    """Sums of the rows of each member, shape (n_members, n_columns)."""
    sums = np.zeros((int(member.max()) + 1, values.shape[1]))
    np.add.at(sums, member, values)
    return sums


def _normals(phantom: Phantom, voxels: NDArray[np.integer]) -> Array:
    """Outward direction of the cortex in some voxels, T1w RAS, shape (n_voxels, 3); short where it is unclear."""
    sigma = _NORMAL_SMOOTH_MM / phantom.voxel_mm
    margin = int(np.ceil(4.0 * sigma)) + 1
    corner = np.maximum(voxels.min(axis=0) - margin, 0)
    box = tuple(slice(low, high + margin + 1) for low, high in zip(corner, voxels.max(axis=0), strict=True))
    grey, white = phantom.fractions["GM"][box], phantom.fractions["WM"][box]
    depth = gaussian_filter((1.0 - grey - 2.0 * white).astype(np.float32), sigma)
    at = tuple((voxels - corner).T)
    gradient = np.stack([part[at] for part in np.gradient(depth, phantom.voxel_mm)], axis=1).astype(float)
    turned = gradient @ (phantom.affine[:3, :3] / phantom.voxel_mm).T
    return turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), _LEAST_GRADIENT)


def _drawn_in(points: Array, shells: HeadShells) -> Array:
    """Points no nearer to the inner skull than the clearance, moved along the ray from the centre."""
    offset = points - shells.centre_mm
    radius = np.linalg.norm(offset, axis=1)
    directions = offset / np.maximum(radius, 1e-9)[:, None]
    limit = _shell_radius(directions, shells) - _CLEARANCE_MM
    return shells.centre_mm + directions * np.minimum(radius, limit)[:, None]


def _shell_radius(directions: Array, shells: HeadShells) -> Array:
    """Least distance to the inner skull among the vertices around a direction."""
    rays = shells.inner_skull - shells.centre_mm
    length = np.linalg.norm(rays, axis=1)
    nearest = np.argpartition(-(directions @ (rays / length[:, None]).T), 3, axis=1)[:, :3]
    return length[nearest].min(axis=1)
