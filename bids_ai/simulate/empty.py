"""Datasets of header-only images: valid BIDS of any size, for dry runs and for timing the workflow's graph."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_ai.errors import InputError
from bids_ai.simulate.folder import new_folder, write_json, write_table, write_text
from bids_ai.simulate.nifti import write_frames, write_volume

#: 8 x 8 x 8 voxels of 4 mm: the least that passes the checks before a run.
_SHAPE = (8, 8, 8)
_VOXEL_TO_MM = np.diag([4.0, 4.0, 4.0, 1.0])


def write_empty_dataset(
    out_dir: Path,
    n_subjects: int,
    sessions: int | None = None,
    runs: int = 1,
    ragged: bool = False,
    *,
    tasks: Sequence[str] = ("rest",),
    n_frames: int = 50,
    repetition_time_s: float = 2.0,
) -> Path:
    """Write a valid BIDS dataset whose images are 8 x 8 x 8 voxels of noise.

    One T1w and one BOLD are written and linked under every name, so that a thousand subjects take seconds.

    Parameters
    ----------
    out_dir : Path
        Absent or empty. It appears when the dataset is whole.
    n_subjects : int
        Labels ``sub-001``, ``sub-002``, ...
    sessions : int, optional
        Sessions of a subject; None for a dataset without ``ses-``.
    runs : int
        Runs of every task in every session; with 1 the names bear no ``run-``.
    ragged : bool
        Take something from every subject after the first, by turns: its T1w; its last run (its BOLD, where there is
        one run); its last session; its last task. What a subject does not have enough of is left alone.
    tasks : sequence of str
        Task labels.
    n_frames : int
        Volumes of a BOLD.
    repetition_time_s : float

    Returns
    -------
    Path
        `out_dir`.

    Raises
    ------
    InputError
        When `out_dir` holds anything, or a number is below one.
    """
    counts = {"n_subjects": n_subjects, "runs": runs, "n_frames": n_frames, "tasks": len(tasks)}
    counts |= {} if sessions is None else {"sessions": sessions}
    wrong = [f"{name}={count}" for name, count in counts.items() if count < 1]
    if wrong:
        raise InputError(f"At least one of each is wanted, got {', '.join(wrong)}.")
    width = max(3, len(str(n_subjects)))
    labels = [f"{number:0{width}d}" for number in range(1, n_subjects + 1)]
    with new_folder(Path(out_dir)) as root:
        _write_root(root, labels, tasks, repetition_time_s)
        linker = _Linker(root, labels[0], n_frames, repetition_time_s)
        for position, label in enumerate(labels):
            lacking = (None, "T1w", "run", "session", "task")[position % 5] if ragged else None
            for name in _subject_files(label, sessions, runs, tasks, lacking):
                linker.place(name)
        linker.close()
    return Path(out_dir)


def _subject_files(label: str, sessions: int | None, runs: int, tasks: Sequence[str], lacking: str | None) -> list[str]:
    """Names of the images of one subject, relative to the dataset."""
    visits: list[str | None] = [None] if sessions is None else [str(n) for n in range(1, sessions + 1)]
    if lacking == "session" and len(visits) > 1:
        visits = visits[:-1]
    if lacking == "task" and len(tasks) > 1:
        tasks = tasks[:-1]
    names = []
    for position, visit in enumerate(visits):
        where = f"sub-{label}/" + (f"ses-{visit}/" if visit else "")
        stem = f"sub-{label}" + (f"_ses-{visit}" if visit else "")
        if position == 0 and lacking != "T1w":
            names.append(f"{where}anat/{stem}_T1w.nii.gz")
        last = position == len(visits) - 1
        kept = runs - 1 if lacking == "run" and last else runs
        for task in tasks:
            names += [
                f"{where}func/{stem}_task-{task}{f'_run-{run}' if runs > 1 else ''}_bold.nii.gz"
                for run in range(1, kept + 1)
            ]
    return names


class _Linker:
    """Puts one of two images under a name: a hard link, or a copy where the disk has no links."""

    def __init__(self, root: Path, stem: str, n_frames: int, repetition_time_s: float) -> None:
        self.root = root
        self.store = root / f".{stem}"
        self.store.mkdir()
        self.made: set[Path] = set()
        values: npt.NDArray[np.int16] = np.random.default_rng(0).integers(80, 120, (*_SHAPE, n_frames), dtype=np.int16)
        write_volume(self.store / "T1w.nii.gz", values[..., 0], _VOXEL_TO_MM)
        write_frames(
            self.store / "bold.nii.gz",
            values.transpose(3, 0, 1, 2),
            values.shape,
            values.dtype,
            _VOXEL_TO_MM,
            repetition_time_s=repetition_time_s,
        )

    def place(self, name: str) -> None:
        target = self.root / name
        if target.parent not in self.made:
            target.parent.mkdir(parents=True, exist_ok=True)
            self.made.add(target.parent)
        source = self.store / name.rpartition("_")[2]
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)

    def close(self) -> None:
        shutil.rmtree(self.store)


def _write_root(root: Path, labels: list[str], tasks: Sequence[str], repetition_time_s: float) -> None:
    write_json(
        root / "dataset_description.json",
        {
            "Name": "Header-only images",
            "BIDSVersion": "1.10.0",
            "DatasetType": "raw",
            "License": "CC0",
            "Authors": ["The bids_ai developers"],
        },
    )
    write_text(root / "README.md", "Images of 8 x 8 x 8 voxels, to try a workflow's wiring on. Files are hard links.")
    write_table(root / "participants.tsv", ["participant_id"], [[f"sub-{label}"] for label in labels])
    for task in tasks:
        write_json(
            root / f"task-{task}_bold.json",
            {"TaskName": task, "RepetitionTime": repetition_time_s, "EchoTime": 0.03},
        )
