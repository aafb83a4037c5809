"""The resting BOLD of a virtual patient as BIDS files, and its truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bids_ai.simulate import bold, grids, rest, truth
from bids_ai.simulate.folder import write_json
from bids_ai.simulate.motion import head_motion
from bids_ai.simulate.nifti import write_frames
from bids_ai.simulate.patient import Patient
from bids_ai.simulate.plan import REPETITION_TIME_S, Run, Size, bold_stem, entities, folder, size_named, stream
from bids_ai.simulate.systems.system import System
from bids_ai.simulate.warp import apply_affine

Array = NDArray[np.floating]


def write_bold(root: Path, patient: Patient, seed: int, *, size: str = "small") -> None:
    """Write every run of rest of a subject, and the truth of all.

    ``func/*_task-rest_bold`` and, below ``sourcedata/truth``, effective connectivity, region series, states of the
    network, motion, and where brain and parcels lie.

    Parameters
    ----------
    root : Path
        The dataset.
    patient : Patient
    seed : int
        The same seed gives the same bytes.
    size : str
        Of `bids_ai.simulate.plan.SIZES`.

    Raises
    ------
    InputError
        When there is no such size.
    """
    images = size_named(size)
    system = rest.rest_system(patient.connectome.weights)
    runs = patient.subject.runs
    states = [int(_own(patient, seed, run, "states").integers(2**31)) for run in runs]
    series = rest.simulate_rest(system, images.n_frames * REPETITION_TIME_S, states)
    maps = bold.source_maps(patient.phantom, patient.labels, patient.n_regions, images.bold_mm)
    for run, activity in zip(runs, series, strict=True):
        _write_run(root, patient, seed, run, activity, maps, images)
    _write_effective_connectivity(root, patient, seed, system)


def _own(patient: Patient, seed: int, run: Run, *names: str) -> np.random.Generator:
    return stream(seed, f"sub-{patient.subject.label}", bold_stem(patient.subject, run), *names)


def _write_run(
    root: Path,
    patient: Patient,
    seed: int,
    run: Run,
    activity: rest.RestSeries,
    maps: bold.SourceMaps,
    images: Size,
) -> None:
    stem = bold_stem(patient.subject, run)
    where = folder(patient.subject, run.session, "func")
    scan = _scan(patient, run, images, _own(patient, seed, run, "pose"))
    motion = head_motion(scan.n_frames, _own(patient, seed, run, "motion"))
    painted = np.where(patient.silent, 0.0, activity.at(activity.percent, scan.readout_times()))
    frames = bold.bold_frames(maps, scan, painted, motion, _own(patient, seed, run, "noise"))
    (root / where).mkdir(parents=True, exist_ok=True)
    path = root / where / f"{stem}_bold.nii.gz"
    shape = (*scan.shape, scan.n_frames)
    write_frames(path, frames, shape, np.dtype(np.int16), scan.affine, repetition_time_s=REPETITION_TIME_S)
    if scan.slice_times_s is not None:
        write_json(root / where / f"{stem}_bold.json", {"SliceTiming": scan.slice_times_s.tolist()})
    truth.write_run(
        root / "sourcedata" / "truth" / where,
        stem,
        scan,
        patient,
        series_percent=activity.at(activity.percent, scan.frame_times()),
        states=activity.at(activity.gating, scan.frame_times()),
        motion=motion,
    )


def _scan(patient: Patient, run: Run, images: Size, rng: np.random.Generator) -> bold.BoldScan:
    subject, phantom = patient.subject, patient.phantom
    centre = grids.brain_centre(phantom.brain_mask, phantom.affine)
    pose = grids.head_pose(rng, centre, repositioned=run.repositioned)
    # Slices are planned on the head as it lies.
    middle = np.rint(apply_affine(pose, centre))
    affine, shape = grids.bold_grid(images.bold_mm, middle, oblique=subject.oblique)
    timing = grids.interleaved_slice_times(shape[2]) if subject.slice_timing else None
    return bold.BoldScan(affine, shape, images.n_frames, REPETITION_TIME_S, timing, run.non_steady, pose)


def _write_effective_connectivity(root: Path, patient: Patient, seed: int, system: System) -> None:
    """The true EC and the model that it belongs to."""
    person = entities(patient.subject)
    of_push = int(stream(seed, person, "effective connectivity").integers(2**31))
    matrix = rest.true_effective_connectivity(system, of_push)
    alive = ~patient.silent
    path = root / "sourcedata" / "truth" / person / f"{person}_stat-effectiveconnectivity_relmat.tsv"
    truth.write_matrix(
        path,
        np.where(alive[:, None] & alive, matrix, np.nan),
        patient.names,
        RelationshipMeasure="Mean change of BOLD over the window after a push of the source, noise the same without",
        MeasureUnits="percent signal change per nA",
        Directed=True,
        RowRole="source",
        ColumnRole="target",
        PushAmplitude=rest.PUSH.size,
        PushAmplitudeUnits="nA",
        PushDuration=rest.PUSH.duration_s,
        Window=list(rest.PUSH.window_s),
        NumberOfStates=rest.PUSH.n_states,
        Model="Reduced Wong-Wang with feedback inhibition, weights as in stat-weight, no delays; double-gamma response",
        GlobalCoupling=round(system.gain, 6),
        NoiseAmplitude=rest.SIGMA,
        NoiseAmplitudeUnits="per sqrt(ms)",
        SlowestModeRelativeToLoneRegion=rest.SLOWEST_MODE,
        PercentPerGating=rest.PERCENT_PER_GATING,
        IntegrationStep=rest.STEP_S,
    )
