"""From the activity of regions to potentials on the scalp: dipoles of the grey matter in a head of three shells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_ai.errors import InputError
from bids_ai.preprocess import eeg_cortex
from bids_ai.preprocess.eeg_cortex import BLOCK_MM, CorticalSheet
from bids_ai.preprocess.eeg_shells import CONDUCTIVITY_S_PER_M, HeadShells, conductor
from bids_ai.simulate.eeg_montage import Cap
from bids_ai.simulate.phantom import Phantom

Array = NDArray[np.floating]

__all__ = [
    "CONDUCTIVITY_S_PER_M",
    "CorticalSheet",
    "Leadfield",
    "cortical_sheet",
    "forward_solution",
    "leadfield",
    "measurement_info",
]


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
    """Dipoles of all labelled grey matter of a phantom (`bids_ai.preprocess.eeg_cortex.cortical_sheet`).

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
    grey, white = phantom.fractions["GM"], phantom.fractions["WM"]
    return eeg_cortex.cortical_sheet(grey, white, phantom.affine, labels, n_regions, shells, block_mm)


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
        info, trans, source, conductor(shells), meg=False, eeg=True, mindist=0.0, n_jobs=1, verbose="error"
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
