"""The embedded demo dataset: two generated subjects with known anatomy, motion and coupling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bids_ai.simulate import bold, grids, network, parcels, phantom, texts, truth
from bids_ai.simulate.folder import new_folder, write_json
from bids_ai.simulate.head import TemplateBrain, load_template_brain
from bids_ai.simulate.motion import head_motion
from bids_ai.simulate.nifti import write_frames, write_volume
from bids_ai.simulate.plan import (
    REPETITION_TIME_S,
    SUBJECTS,
    Run,
    Size,
    Subject,
    bold_stem,
    entities,
    folder,
    size_named,
    stream,
)
from bids_ai.simulate.warp import SubjectWarp, apply_affine, random_warp

Array = NDArray[np.floating]

#: Standard deviation of the region series, percent signal change (median over regions).
_BOLD_PERCENT = 1.4


def write_demo_dataset(out_dir: Path, *, seed: int = 1, size: str = "demo") -> Path:
    """Write a BIDS dataset of two generated subjects with T1w and resting BOLD, and its truth.

    Parameters
    ----------
    out_dir : Path
        Absent or empty. It appears when the dataset is whole.
    seed : int
        The same seed and size give the same bytes.
    size : str
        ``"demo"`` (T1w 1.5 mm, BOLD 4 mm, 130 volumes a run) or ``"tiny"`` (4 mm, 60 volumes).

    Returns
    -------
    Path
        `out_dir`.

    Raises
    ------
    InputError
        When `out_dir` holds anything, or there is no such size.
    """
    plan = size_named(size)
    with new_folder(Path(out_dir)) as root:
        texts.write_dataset_texts(root, seed=seed, size=size)
        brain = load_template_brain(plan.t1w_mm)
        atlas = parcels.template_parcels(plan.n_regions)
        truth.write_parcels(_truth_folder(root), atlas)
        group = network.random_network(atlas.centroids_mm, atlas.homotopic, stream(seed, "network"))
        for subject in SUBJECTS:
            _SubjectWriter(root, subject, plan, seed, brain, atlas, group).write()
    return Path(out_dir)


class _SubjectWriter:
    """One subject, from its anatomy to its files; holds what its runs share."""

    def __init__(
        self,
        root: Path,
        subject: Subject,
        size: Size,
        seed: int,
        brain: TemplateBrain,
        atlas: parcels.Parcels,
        group: network.Network,
    ) -> None:
        self.root, self.subject, self.size, self.seed, self.atlas = root, subject, size, seed, atlas
        self.names = [str(name) for name in atlas.nodes["name"]]
        self.network = network.individual_network(group, self._stream("network"))
        self.warp: SubjectWarp = random_warp(self._stream("warp"))
        affine, shape = grids.t1w_grid(size.t1w_mm, oblique=subject.oblique)
        self.phantom = phantom.make_phantom(brain, self.warp, affine, shape, self._stream("T1w"))
        self.labels = parcels.in_phantom(atlas, self.phantom)

    def write(self) -> None:
        """Write the T1w, every run, and the truth of both."""
        texts.write_sessions(self.root / f"sub-{self.subject.label}", self.subject)
        self._write_anatomy()
        maps = bold.source_maps(self.phantom, self.labels, self.size.n_regions, self.size.bold_mm)
        for run in self.subject.runs:
            self._write_run(run, maps)

    def _stream(self, *names: str) -> np.random.Generator:
        return stream(self.seed, f"sub-{self.subject.label}", *names)

    def _write_anatomy(self) -> None:
        session = self.subject.t1w_session
        stem = entities(self.subject, session)
        where = folder(self.subject, session, "anat")
        (self.root / where).mkdir(parents=True)
        path = self.root / where / f"{stem}_T1w.nii.gz"
        write_volume(path, self.phantom.t1w, self.phantom.affine)
        truth.write_anatomy(_truth_folder(self.root) / where, stem, self.warp, self.phantom, self.labels)
        subject_folder = _truth_folder(self.root) / f"sub-{self.subject.label}"
        truth.write_network(subject_folder, f"sub-{self.subject.label}", self.network, self.names)

    def _write_run(self, run: Run, maps: bold.SourceMaps) -> None:
        stem = bold_stem(self.subject, run)
        where = folder(self.subject, run.session, "func")
        scan = self._scan(run, stem)
        states = network.simulate_states(self.network, scan.n_frames * REPETITION_TIME_S, self._stream(stem, "states"))
        percent = as_percent(network.haemodynamics(states))
        motion = head_motion(scan.n_frames, self._stream(stem, "motion"))
        painted = network.sample_at(percent, scan.readout_times())
        frames = bold.bold_frames(maps, scan, painted, motion, self._stream(stem, "noise"))
        (self.root / where).mkdir(parents=True, exist_ok=True)
        path = self.root / where / f"{stem}_bold.nii.gz"
        shape = (*scan.shape, scan.n_frames)
        write_frames(path, frames, shape, np.dtype(np.int16), scan.affine, repetition_time_s=REPETITION_TIME_S)
        if scan.slice_times_s is not None:
            write_json(self.root / where / f"{stem}_bold.json", {"SliceTiming": scan.slice_times_s.tolist()})
        truth.write_run(
            _truth_folder(self.root) / where,
            stem,
            scan,
            self.phantom,
            self.labels,
            self.names,
            series_percent=network.sample_at(percent, scan.frame_times()),
            states=network.sample_at(states, scan.frame_times()),
            motion=motion,
        )

    def _scan(self, run: Run, stem: str) -> bold.BoldScan:
        centre = grids.brain_centre(self.phantom.brain_mask, self.phantom.affine)
        pose = grids.head_pose(self._stream(stem, "pose"), centre, repositioned=run.repositioned)
        # Slices are planned on the head as it lies.
        middle = np.rint(apply_affine(pose, centre))
        affine, shape = grids.bold_grid(self.size.bold_mm, middle, oblique=self.subject.oblique)
        timing = grids.interleaved_slice_times(shape[2]) if self.subject.slice_timing else None
        return bold.BoldScan(affine, shape, self.size.n_frames, REPETITION_TIME_S, timing, run.non_steady, pose)


def as_percent(series: Array) -> Array:
    """Haemodynamics in percent signal change: one factor for all regions, so that the network stays linear."""
    settled = series[int(network.BURN_IN_S / network.STEP_S) :]
    return series * (_BOLD_PERCENT / np.median(settled.std(axis=0)))


def _truth_folder(root: Path) -> Path:
    return root / "sourcedata" / "truth"
