"""The DWI of a virtual patient as BIDS files, and its truth."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bids_ai.simulate import dwi_truth, grids
from bids_ai.simulate.diffusion import SignalModel
from bids_ai.simulate.dwi import DwiScan, dwi_volumes
from bids_ai.simulate.fibres import FibreMap, fibre_map
from bids_ai.simulate.folder import write_json
from bids_ai.simulate.gradients import DwiScheme, ScannerGradients, dwi_scheme, gradient_table, write_gradients
from bids_ai.simulate.motion import head_motion
from bids_ai.simulate.nifti import write_frames, write_volume
from bids_ai.simulate.patient import Patient
from bids_ai.simulate.phantom import voxel_centres
from bids_ai.simulate.plan import entities, folder, stream
from bids_ai.simulate.susceptibility import field_map
from bids_ai.simulate.warp import SubjectWarp, apply_affine, rigid_matrix

Array = NDArray[np.floating]

#: Grid on which the signal is made, relative to the voxels of the scan.
_FINE = 2.0 / 3.0
#: Margin of that grid around the field of view, mm: the head moves, and distortion reaches over the edge.
_MARGIN_MM = 16.0
#: Between the series and its reverse-encoded partner the head moves by up to this, mm and degrees.
_BETWEEN = (0.4, 0.3)
_FIELD_IDENTIFIER = "pepolar"


def write_dwi(root: Path, patient: Patient, seed: int, *, size: str = "small", session: str | None = None) -> FibreMap:
    """Write a diffusion series, its reverse-encoded b = 0 and the truth of both.

    ``dwi/*_dir-AP_dwi``, ``fmap/*_dir-PA_epi`` and, below ``sourcedata/truth``, tractogram, motion, field and
    fibre directions.

    Parameters
    ----------
    root : Path
        The dataset.
    patient : Patient
        With its bundles.
    seed : int
        The same seed gives the same bytes.
    size : str
        ``"small"`` (3 mm, 32 directions at b 1000) or ``"full"`` (2 mm, 90 directions at b 1000 and 2000).
    session : str, optional

    Returns
    -------
    FibreMap
        Fibres and tissues that the signal was made of.

    Raises
    ------
    InputError
        When there is no such size.
    ValueError
        When the patient was made without bundles.
    """
    scheme = dwi_scheme(size)
    bundles = patient.bundles
    if bundles is None:
        raise ValueError(f"sub-{patient.subject.label} has no bundles to make a DWI of.")
    stem = entities(patient.subject, session)

    def own(*names: str) -> np.random.Generator:
        return stream(seed, stem, "dwi", *names)

    scan = _scan(patient, scheme, own("pose"))
    affine, shape = _fine_grid(scan, scheme.voxel_mm * _FINE)
    fibres = fibre_map(patient.phantom, patient.warp, bundles, patient.connectome, affine, shape, own("fibres"))
    model = SignalModel(fibres)
    # Everybody is scanned with the same table.
    gradients = gradient_table(scheme, stream(seed, "dwi", size, "gradients"))
    motion = head_motion(len(gradients), own("motion"))
    field_hz = _field(scan, patient.warp, own("field"))

    where = root / folder(patient.subject, session, "dwi")
    volumes = dwi_volumes(model, scan, gradients, motion, field_hz, scheme.snr, own("noise"))
    name = f"{stem}_dir-AP_dwi"
    _write_series(where / name, volumes, scan, gradients, scheme)
    reverse = _reverse_scan(scan, own("reverse"))
    b_zero = ScannerGradients(np.zeros(1), np.zeros((1, 3)))
    reversed_volume = next(
        dwi_volumes(model, reverse, b_zero, np.zeros((1, 6)), field_hz, scheme.snr, own("reverse", "noise"))
    )
    target = f"bids::{folder(patient.subject, session, 'dwi')}/{name}.nii.gz"
    fmap = root / folder(patient.subject, session, "fmap") / f"{stem}_dir-PA_epi"
    _write_reverse(fmap, reversed_volume, reverse, scheme, target)

    out = root / "sourcedata" / "truth" / folder(patient.subject, session, "dwi")
    dwi_truth.write_tractogram(out, stem, bundles, patient.connectome, patient.warp, patient.names)
    dwi_truth.write_scan(out, name, scan, reverse, patient.phantom, patient.labels, motion=motion, field_hz=field_hz)
    dwi_truth.write_fibres(out, name, scan, fibres)
    return fibres


def _scan(patient: Patient, scheme: DwiScheme, rng: np.random.Generator) -> DwiScan:
    centre = grids.brain_centre(patient.phantom.brain_mask, patient.phantom.affine)
    pose = grids.head_pose(rng, centre, repositioned=False)
    middle = np.rint(apply_affine(pose, centre))
    affine, shape = grids.bold_grid(scheme.voxel_mm, middle, oblique=patient.subject.oblique)
    return DwiScan(affine, shape, scheme.echo_spacing_s, pose)


def _reverse_scan(scan: DwiScan, rng: np.random.Generator) -> DwiScan:
    """The same field of view with phase encoding the other way, the head a little moved."""
    shift, turn = _BETWEEN
    move = np.concatenate([rng.uniform(-shift, shift, 3), np.deg2rad(rng.uniform(-turn, turn, 3))])
    pose = rigid_matrix(move, scan.centre_mm()) @ scan.pose
    return DwiScan(scan.affine, scan.shape, scan.echo_spacing_s, pose, scan.phase_axis, -scan.polarity)


def _fine_grid(scan: DwiScan, voxel_mm: float) -> grids.Grid:
    """A straight grid in the frame of the T1w that covers the field of view."""
    corners = np.array(np.meshgrid(*[(0.0, n - 1.0) for n in scan.shape])).reshape(3, -1).T
    extent = scan.points_in_head(apply_affine(scan.affine, corners))
    low, high = extent.min(axis=0) - _MARGIN_MM, extent.max(axis=0) + _MARGIN_MM
    affine = np.diag([voxel_mm] * 3 + [1.0])
    affine[:3, 3] = low
    n = np.ceil((high - low) / voxel_mm).astype(int) + 1
    return affine, (int(n[0]), int(n[1]), int(n[2]))


def _field(scan: DwiScan, warp: SubjectWarp, rng: np.random.Generator) -> Array:
    points = scan.points_in_head(voxel_centres(scan.affine, scan.shape))
    return field_map(warp.to_template(points), rng)


def _write_series(
    stem: Path, volumes: Iterable[NDArray[np.int16]], scan: DwiScan, gradients: ScannerGradients, scheme: DwiScheme
) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    write_frames(
        stem.with_name(stem.name + ".nii.gz"),
        volumes,
        (*scan.shape, len(gradients)),
        np.dtype(np.int16),
        scan.affine,
        repetition_time_s=scheme.repetition_time_s,
    )
    write_gradients(stem, gradients, scan.affine)
    content = _sidecar(scan, scheme) | {
        "B0FieldIdentifier": _FIELD_IDENTIFIER,
        "B0FieldSource": _FIELD_IDENTIFIER,
    }
    write_json(stem.with_name(stem.name + ".json"), content)


def _write_reverse(stem: Path, volume: NDArray[np.int16], scan: DwiScan, scheme: DwiScheme, target: str) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    write_volume(stem.with_name(stem.name + ".nii.gz"), volume, scan.affine)
    content = _sidecar(scan, scheme) | {"B0FieldIdentifier": _FIELD_IDENTIFIER, "IntendedFor": [target]}
    write_json(stem.with_name(stem.name + ".json"), content)


def _sidecar(scan: DwiScan, scheme: DwiScheme) -> dict[str, object]:
    return {
        "MagneticFieldStrength": 3,
        "MRAcquisitionType": "2D",
        "PulseSequenceType": "Simulated spin-echo EPI",
        "RepetitionTime": scheme.repetition_time_s,
        "EchoTime": scheme.echo_time_s,
        "FlipAngle": 90,
        "PhaseEncodingDirection": scan.phase_direction,
        "EffectiveEchoSpacing": scan.echo_spacing_s,
        "TotalReadoutTime": round(scan.total_readout_s, 9),
    }
