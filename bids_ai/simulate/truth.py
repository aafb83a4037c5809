"""What is known of a virtual cohort and hidden from the workflow: ``sourcedata/truth``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bids_ai.simulate.bold import BoldScan, in_scan
from bids_ai.simulate.connectome import Connectome
from bids_ai.simulate.folder import write_json, write_table
from bids_ai.simulate.motion import MOTION_COLUMNS, framewise_displacement
from bids_ai.simulate.nifti import write_displacements, write_volume
from bids_ai.simulate.parcels import Parcels
from bids_ai.simulate.patient import Patient
from bids_ai.simulate.phantom import voxel_centres
from bids_ai.simulate.warp import FIELD_SPACING_MM, SubjectWarp

Array = NDArray[np.floating]

TEMPLATE_SPACE = "MNI152NLin2009aSym"
#: What the template's image covers, and what its brain does, mm.
_TEMPLATE_BOX_MM = np.array([[-98.0, -134.0, -72.0], [98.0, 98.0, 116.0]])
_BRAIN_BOX_MM = np.array([[-72.0, -107.0, -72.0], [72.0, 73.0, 82.0]])
TISSUE_LABELS = {"GM": 1, "WM": 2, "CSF": 3}


def write_parcels(folder: Path, parcels: Parcels) -> None:
    """The parcels in template space with their node table."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = parcels.labels.astype(np.int16)
    write_volume(folder / f"tpl-{parcels.space}_{parcels.name}_dseg.nii.gz", labels, parcels.affine)
    table = parcels.nodes.astype(object).where(parcels.nodes.notna(), None)
    rows = table.to_numpy().tolist()
    write_table(folder / f"{parcels.name}_dseg.tsv", list(parcels.nodes.columns), rows)


def write_matrix(path: Path, matrix: Array, names: list[str], **described: object) -> None:
    """A relmat with its sidecar; row = source, column = target, missing is n/a."""
    rows = [[node, *row] for node, row in zip(names, matrix.tolist(), strict=True)]
    write_table(path, ["node", *names], rows)
    write_json(path.with_suffix(".json"), described)


def write_connectome(folder: Path, stem: str, connectome: Connectome, names: list[str]) -> None:
    """Directed weights, bundle weights, lengths and delays, each a relmat with its sidecar."""
    direction = {"Directed": True, "RowRole": "source", "ColumnRole": "target"}
    speed = {"ConductionSpeed": connectome.speed_m_per_s, "ConductionSpeedUnits": "m/s"}
    measures: dict[str, tuple[Array, str, str, dict[str, object]]] = {
        "weight": (connectome.weights, "Coupling of the network behind every modality", "arbitrary", {**direction}),
        "bundle": (connectome.bundle_weights, "Sum of both directions: what diffusion can see", "arbitrary", {}),
        "length": (connectome.lengths_mm, "Mean length of the fibres of a bundle", "mm", {}),
        "delay": (connectome.delays_s, "Conduction delay", "s", {**speed}),
    }
    for name, (matrix, meaning, unit, more) in measures.items():
        path = folder / f"{stem}_stat-{name}_relmat.tsv"
        described = {"RelationshipMeasure": meaning, "MeasureUnits": unit, "Directed": False, **more}
        write_matrix(path, matrix, names, **described)


def write_anatomy(folder: Path, stem: str, patient: Patient) -> None:
    """Brain mask, tissues and parcels on the grid of the T1w; the maps to and from the template."""
    folder.mkdir(parents=True, exist_ok=True)
    phantom = patient.phantom
    mask = phantom.brain_mask
    write_volume(folder / f"{stem}_desc-brain_mask.nii.gz", mask.astype(np.uint8), phantom.affine)
    write_volume(folder / f"{stem}_desc-parcels_dseg.nii.gz", patient.labels, phantom.affine)
    if patient.lesion is not None:
        write_volume(folder / f"{stem}_desc-resection_mask.nii.gz", patient.lesion.astype(np.uint8), phantom.affine)
    parts = np.stack([phantom.fractions[name] for name in TISSUE_LABELS])
    tissue = np.where(mask, parts.argmax(axis=0) + 1, 0).astype(np.uint8)
    write_volume(folder / f"{stem}_dseg.nii.gz", tissue, phantom.affine)
    for name in TISSUE_LABELS:
        part = np.rint(phantom.fractions[name] * 255.0).astype(np.uint8)
        path = folder / f"{stem}_label-{name}_probseg.nii.gz"
        write_volume(path, part, phantom.affine, slope=1.0 / 255.0)
    _write_transforms(folder, stem, patient)


def write_run(
    folder: Path,
    stem: str,
    scan: BoldScan,
    patient: Patient,
    *,
    series_percent: Array,
    states: Array,
    motion: Array,
) -> None:
    """Region series before painting, head motion, and where parcels and brain lie in the first frame."""
    folder.mkdir(parents=True, exist_ok=True)
    # What was taken out has no activity.
    for name, series in (("regions", series_percent), ("states", states)):
        table = np.where(patient.silent, np.nan, series)
        write_table(folder / f"{stem}_desc-{name}_timeseries.tsv", patient.names, table)
    displacement = framewise_displacement(motion)
    columns = [*MOTION_COLUMNS, "framewise_displacement"]
    write_table(folder / f"{stem}_desc-motion_timeseries.tsv", columns, np.c_[motion, displacement])
    write_json(folder / f"{stem}_scan.json", _scan_description(scan, displacement))
    phantom = patient.phantom
    within = in_scan(patient.labels.astype(np.float32), phantom.affine, scan, order=0).astype(np.int16)
    write_volume(folder / f"{stem}_desc-parcels_dseg.nii.gz", within, scan.affine)
    brain = in_scan(phantom.fractions["brain"], phantom.affine, scan) > 0.5
    write_volume(folder / f"{stem}_desc-brain_mask.nii.gz", brain.astype(np.uint8), scan.affine)


def _scan_description(scan: BoldScan, displacement: Array) -> dict[str, object]:
    pose = np.eye(4) if scan.pose is None else scan.pose
    return {
        "Description": (
            "Series are sampled at the middle of every frame; regions in percent signal change, states as the "
            "fraction of open NMDA channels. Motion moves the head relative to the first frame by "
            "p' = Rz Ry Rx (p - c) + c + t, in scanner coordinates (RAS), with t in mm, angles in rad and "
            "c the rotation centre."
        ),
        "StartTime": scan.repetition_time_s / 2.0,
        "RepetitionTime": scan.repetition_time_s,
        "RotationCentre": np.round(scan.centre_mm(), 4).tolist(),
        "FromT1wToFirstFrame": np.round(pose, 9).tolist(),
        "NumberOfNonSteadyVolumes": scan.non_steady,
        "MedianFramewiseDisplacement": round(float(np.nanmedian(displacement)), 5),
        "FramesAboveHalfMillimetre": np.flatnonzero(np.nan_to_num(displacement) > 0.5).tolist(),
    }


def _write_transforms(folder: Path, stem: str, patient: Patient) -> None:
    """Whole maps (warp and affine) as displacement fields that ANTs applies, and the affine by itself.

    ``from-A_to-B_mode-image`` resamples an image of A onto the grid of B, hence maps points of B to A.
    """
    warp, phantom = patient.warp, patient.phantom
    grid = _covering_grid(_TEMPLATE_BOX_MM)
    field = warp.to_subject(grid[1]) - grid[1]
    path = folder / f"{stem}_from-T1w_to-{TEMPLATE_SPACE}_mode-image_xfm.nii.gz"
    write_displacements(path, field, grid[0])
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in phantom.t1w.shape])).reshape(3, -1).T
    extent = corners @ phantom.affine[:3, :3].T + phantom.affine[:3, 3]
    grid = _covering_grid(np.stack([extent.min(axis=0), extent.max(axis=0)]))
    field = warp.to_template(grid[1]) - grid[1]
    path = folder / f"{stem}_from-{TEMPLATE_SPACE}_to-T1w_mode-image_xfm.nii.gz"
    write_displacements(path, field, grid[0])
    brain = warp.forward[_brain_part(warp)]
    write_json(
        folder / f"{stem}_anatomy.json",
        {
            "Description": (
                "A template point x lies at Affine @ (x + u(x)) in the T1w, mm RAS; the xfm files hold the whole map."
            ),
            "Affine": np.round(warp.affine, 9).tolist(),
            "LargestDisplacementInBrain": round(float(np.linalg.norm(brain, axis=-1).max()), 4),
            "MeanDisplacementInBrain": round(float(np.linalg.norm(brain, axis=-1).mean()), 4),
            "BrainVolume": round(float(phantom.fractions["brain"].sum()) * phantom.voxel_mm**3 / 1e6, 4),
            "BrainVolumeUnits": "L",
            **_resection(patient),
        },
    )


def _resection(patient: Patient) -> dict[str, object]:
    """What of an operation can be said in numbers; nothing where there was none."""
    if patient.lesion is None:
        return {}
    return {
        "ResectedVolume": round(float(np.count_nonzero(patient.lesion)) * patient.phantom.voxel_mm**3 / 1e3, 2),
        "ResectedVolumeUnits": "mL",
        "RegionsResected": [name for name, gone in zip(patient.names, patient.silent, strict=True) if gone],
    }


def _covering_grid(box_mm: Array) -> tuple[Array, Array]:
    """Affine and points (mm) of a grid as fine as the warp's own over a box."""
    shape = tuple(np.ceil((box_mm[1] - box_mm[0]) / FIELD_SPACING_MM).astype(int) + 1)
    affine = np.diag([FIELD_SPACING_MM] * 3 + [1.0])
    affine[:3, 3] = box_mm[0]
    return affine, voxel_centres(affine, shape).astype(float)


def _brain_part(warp: SubjectWarp) -> tuple[slice, ...]:
    """The box of the template's brain within the displacement grid."""
    low, high = np.rint((_BRAIN_BOX_MM - warp.field_affine[:3, 3]) / FIELD_SPACING_MM).astype(int)
    return tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))
