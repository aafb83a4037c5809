"""Tractography with MRtrix3 (Tournier et al. 2019, doi:10.1016/j.neuroimage.2019.116137), where it is on PATH.

SD_STREAM, or iFOD2 with back-tracking, with anatomical constraints (ACT) and seeds at the grey-white interface.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np

from bids_ai.connectome.harmonics import FloatArray, axes_on_sphere, basis
from bids_ai.connectome.streamlines import Streamlines
from bids_ai.connectome.tractography import (
    FibreField,
    Tracking,
    TrackingSettings,
    judge,
    peak_amplitudes,
    typical_peak,
)
from bids_ai.errors import InputError

_PROGRAMS = ("tckgen", "5tt2gmwmi")
_LAST_LINES = 5
#: The streamlines come from so many calls side by side, each with a seed of its own and without threads: in one call
#: threads take turns at the random numbers, and no two runs are alike. Their number must not depend on the machine.
_PARTS = 8
#: The common check takes a few that tckgen took for valid; a smaller part than this is told.
_LEAST_FOUND = 0.95


class Mrtrix3Engine:
    """`tckgen` of MRtrix3."""

    name = "mrtrix3"

    def missing(self) -> str | None:
        """Name the programs that are not on PATH, and where they come from."""
        absent = [program for program in _PROGRAMS if shutil.which(program) is None]
        if not absent:
            return None
        return f"{' and '.join(absent)} not on PATH; install MRtrix3 (Debian package mrtrix3, conda package mrtrix3)."

    def track(self, field: FibreField, settings: TrackingSettings, seed: int) -> Tracking:
        """Write the images to a temporary folder, track, and read the streamlines back.

        Returns
        -------
        Tracking

        Raises
        ------
        InputError
            If a program fails; with its last words.
        """
        with tempfile.TemporaryDirectory(prefix="bids_ai_tckgen_") as name:
            folder = Path(name)
            write_inputs(field, folder)
            cutoff = settings.cutoff * typical_peak(peak_amplitudes(field.fod, field.order), field.wm)
            _run(["5tt2gmwmi", str(folder / "5tt.nii"), str(folder / "gmwmi.nii"), "-quiet"], seed)
            seeds = np.random.SeedSequence(seed).generate_state(_PARTS).tolist()
            parts = [folder / f"tracks-{part}.tck" for part in range(_PARTS)]
            calls = [command(field, settings, folder, path, cutoff) for path in parts]
            with ThreadPoolExecutor(max(1, settings.n_threads)) as pool:
                list(pool.map(_run, calls, seeds))
            lines = Streamlines.from_list([line for path in parts for line in nib.streamlines.load(path).streamlines])
        # MRtrix3 ends streamlines at the interface itself, which is within a voxel of grey matter.
        valid, rejected = judge(lines, field, settings)
        kept = lines.select(valid)
        notes: tuple[str, ...] = ()
        if len(kept) < _LEAST_FOUND * settings.n_streamlines:
            notes = (f"{len(kept)} of {settings.n_streamlines} streamlines were found.",)
        return Tracking(kept, len(lines), rejected, self.name, settings, notes)


def command(field: FibreField, settings: TrackingSettings, folder: Path, out: Path, cutoff: float) -> list[str]:
    """Return the call that tracks one part, for files as `write_inputs` names them."""
    edge = float(field.voxel_mm.mean())
    step = settings.step_mm or edge / 2
    tracks = {
        "-act": folder / "5tt.nii",
        "-seed_gmwmi": folder / "gmwmi.nii",
        "-select": -(-settings.n_streamlines // _PARTS),
        "-seeds": -(-int(settings.n_streamlines * settings.seeds_per_streamline) // _PARTS),
        "-step": f"{step:g}",
        "-angle": f"{min(settings.max_angle_deg * step / (edge / 2), 60):g}",
        "-minlength": f"{settings.min_length_mm:g}",
        "-maxlength": f"{settings.max_length_mm:g}",
        "-cutoff": f"{cutoff:g}",
        "-nthreads": 0,
    }
    options = [str(word) for pair in tracks.items() for word in pair]
    # Back-tracking draws another way, which a deterministic algorithm cannot.
    algorithm = ["SD_STREAM"] if settings.algorithm == "deterministic" else ["iFOD2", "-backtrack"]
    return ["tckgen", str(folder / "fod.nii"), str(out), "-algorithm", *algorithm, "-crop_at_gmwmi", "-quiet", *options]


def write_inputs(field: FibreField, folder: Path) -> None:
    """Write `fod.nii` in the basis of MRtrix3, and `5tt.nii`: cortical grey, deep grey, white, CSF, pathology."""
    fod = field.fod @ to_mrtrix(field.order).T
    nothing = np.zeros_like(field.gm)
    tissues = np.stack([field.gm, nothing, field.wm, field.csf, nothing], axis=-1)
    total = tissues.sum(axis=-1, keepdims=True)
    tissues = np.where(total > 1, tissues / np.maximum(total, 1), tissues)
    for name, data in (("fod.nii", fod), ("5tt.nii", tissues)):
        nib.save(nib.Nifti1Image(np.asarray(data, np.float32), field.affine), folder / name)


def to_mrtrix(order: int) -> FloatArray:
    """Matrix from our coefficients to those of MRtrix3 (Tournier's basis, orthonormal)."""
    from dipy.core.geometry import cart2sphere
    from dipy.reconst.shm import real_sh_tournier

    axes = axes_on_sphere()
    _, theta, phi = cart2sphere(*axes.T)
    theirs = real_sh_tournier(order, theta, phi, legacy=False)[0]
    return np.asarray(np.linalg.pinv(theirs) @ basis(axes, order), dtype=np.float64)


def _run(command: list[str], seed: int) -> None:
    environment = dict(os.environ) | {"MRTRIX_RNG_SEED": str(seed % 2**31)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-_LAST_LINES:])
        raise InputError(f"{command[0]} ended with code {done.returncode}: {said or 'no message'}")
