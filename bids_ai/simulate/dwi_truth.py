"""What is known of a generated DWI and hidden from the workflow: ``sourcedata/truth``."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bids_ai.simulate.bundles import Bundles
from bids_ai.simulate.connectome import Connectome
from bids_ai.simulate.dwi import DwiScan
from bids_ai.simulate.fibres import FibreMap, strand_areas
from bids_ai.simulate.folder import write_json, write_table
from bids_ai.simulate.head import sample
from bids_ai.simulate.motion import MOTION_COLUMNS, framewise_displacement
from bids_ai.simulate.nifti import write_frames, write_volume
from bids_ai.simulate.phantom import Phantom, voxel_centres
from bids_ai.simulate.warp import SubjectWarp, apply_affine

Array = NDArray[np.floating]

#: Bundles kept per voxel in the image of fibre directions.
N_PEAKS = 3
_PEAK_SLOPE = 1.0 / 10000.0


def write_tractogram(
    folder: Path, stem: str, bundles: Bundles, connectome: Connectome, warp: SubjectWarp, names: list[str]
) -> None:
    """Strands of the subject's bundles in T1w space (TCK), and the bundle, area and length of each in a table."""
    folder.mkdir(parents=True, exist_ok=True)
    strands = bundles.in_subject(warp)
    # The scale of the areas is that of the signal up to the white-matter volume: here weights matter, not litres.
    area = strand_areas(strands, bundles, connectome, 1.0)
    present = np.flatnonzero(area > 0.0)
    tractogram = nib.streamlines.Tractogram(strands[present].astype(np.float32), affine_to_rasmm=np.eye(4))
    path = folder / f"{stem}_space-T1w_tractogram.tck"
    nib.streamlines.save(tractogram, str(path))
    lengths = np.linalg.norm(np.diff(strands[present], axis=1), axis=-1).sum(axis=1)
    rows = [
        [
            *(names[region] for region in bundles.pairs[bundles.owner[strand]]),
            float(area[strand] / area[present].sum()),
            float(length),
        ]
        for strand, length in zip(present, lengths, strict=True)
    ]
    write_table(folder / f"{stem}_space-T1w_tractogram.tsv", ["first", "second", "share", "length"], rows)
    write_json(
        path.with_suffix(".json"),
        {
            "Description": (
                "Strands of the bundles, mm RAS of the T1w, each from its first region to its second; the rows of the "
                "table are strands. Share: of all cross-section; length: mm."
            )
        },
    )


def write_scan(
    folder: Path,
    stem: str,
    scan: DwiScan,
    reverse: DwiScan,
    phantom: Phantom,
    labels: NDArray[np.int16],
    *,
    motion: Array,
    field_hz: Array,
) -> None:
    """Motion, field, and where brain, white matter and parcels lie in the first volume before distortion."""
    folder.mkdir(parents=True, exist_ok=True)
    displacement = framewise_displacement(motion)
    columns = [*MOTION_COLUMNS, "framewise_displacement"]
    write_table(folder / f"{stem}_desc-motion_timeseries.tsv", columns, np.c_[motion, displacement])
    write_volume(folder / f"{stem}_desc-field_fieldmap.nii.gz", field_hz.astype(np.float32), scan.affine)
    points = scan.points_in_head(voxel_centres(scan.affine, scan.shape))
    brain = sample(phantom.fractions["brain"], phantom.affine, points) > 0.5
    write_volume(folder / f"{stem}_desc-brain_mask.nii.gz", brain.astype(np.uint8), scan.affine)
    within = sample(labels.astype(np.float32), phantom.affine, points, order=0).astype(np.int16)
    write_volume(folder / f"{stem}_desc-parcels_dseg.nii.gz", within, scan.affine)
    write_json(
        folder / f"{stem}_scan.json",
        {
            "Description": (
                "Motion moves the head relative to the first volume by p' = Rz Ry Rx (p - c) + c + t, in scanner "
                "coordinates (RAS), with t in mm, angles in rad and c the rotation centre; the gradients in the bvec "
                "file are those set on the scanner. The field (Hz) is that of the first volume before distortion and "
                "stays with the scanner; signal of voxel y appears at y + sign * field * TotalReadoutTime along the "
                "phase-encoding axis, sign -1 where PhaseEncodingDirection ends in '-'."
            ),
            "RotationCentre": np.round(scan.centre_mm(), 4).tolist(),
            "FromT1wToFirstVolume": np.round(scan.pose, 9).tolist(),
            "FromT1wToReverseEncoded": np.round(reverse.pose, 9).tolist(),
            "LargestShift": round(float(np.abs(field_hz[brain]).max() * scan.total_readout_s), 4),
            "LargestShiftUnits": "voxel",
            "MedianFramewiseDisplacement": round(float(np.nanmedian(displacement)), 5),
        },
    )


def write_fibres(folder: Path, stem: str, scan: DwiScan, fibres: FibreMap) -> None:
    """Directions of the largest bundles of every voxel, head as in the first volume before distortion.

    Three volumes (x, y, z in scanner RAS) for each of `N_PEAKS` bundles, largest first; the length of a vector is the
    share of the voxel that the bundle fills.
    """
    folder.mkdir(parents=True, exist_ok=True)
    vectors = fibre_vectors(scan, fibres)
    stored = np.rint(vectors / _PEAK_SLOPE).astype(np.int16)
    frames = (stored[..., peak, axis] for peak in range(N_PEAKS) for axis in range(3))
    path = folder / f"{stem}_desc-fibres_dwimap.nii.gz"
    shape = (*scan.shape, 3 * N_PEAKS)
    write_frames(path, frames, shape, np.dtype(np.int16), scan.affine, slope=_PEAK_SLOPE)
    write_json(
        path.with_name(path.name.replace(".nii.gz", ".json")),
        {
            "Description": "Three vectors (x, y, z in scanner RAS) per voxel; their length is the share of the voxel.",
            "FibresWithoutRoom": round(fibres.crowding, 4),
        },
    )


def fibre_vectors(scan: DwiScan, fibres: FibreMap) -> Array:
    """Vectors of `write_fibres`, shape (nx, ny, nz, N_PEAKS, 3): fixels of the fine grid gathered voxel by voxel."""
    fine = np.stack(np.unravel_index(fibres.voxel, fibres.shape), axis=1)
    # Fine voxels straddle those of the scan: each is taken in eight parts.
    parts = np.array(list(np.ndindex(2, 2, 2))) / 2.0 - 0.25
    head = scan.head_to_scanner(np.zeros(6))
    to_voxel = np.linalg.inv(scan.affine) @ head @ fibres.affine
    index = np.rint(apply_affine(to_voxel, fine[:, None] + parts)).astype(int).reshape(-1, 3)
    within = np.all((index >= 0) & (index < np.array(scan.shape)), axis=1)
    n_voxels = int(np.prod(scan.shape))
    n_bundles = int(fibres.bundle.max()) + 1 if len(fibres.bundle) else 1
    fixel = np.repeat(np.arange(len(fine)), len(parts))[within]
    key = np.ravel_multi_index(tuple(index[within].T), scan.shape) * n_bundles + fibres.bundle[fixel]
    keys, inverse = np.unique(key, return_inverse=True)
    share = abs(np.linalg.det(to_voxel[:3, :3])) / len(parts)
    turned = fibres.direction @ head[:3, :3].T * fibres.fraction[:, None] * share
    turned = turned[fixel]
    sums = np.stack([np.bincount(inverse, turned[:, axis], len(keys)) for axis in range(3)], axis=1)
    voxel = keys // n_bundles
    order = np.lexsort((-np.linalg.norm(sums, axis=1), voxel))
    voxel, sums = voxel[order], sums[order]
    rank = np.arange(len(voxel)) - np.searchsorted(voxel, voxel)
    vectors = np.zeros((n_voxels, N_PEAKS, 3))
    kept = rank < N_PEAKS
    vectors[voxel[kept], rank[kept]] = sums[kept]
    return vectors.reshape(*scan.shape, N_PEAKS, 3)
