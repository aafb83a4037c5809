import json
import subprocess
import time

import nibabel as nib
import pandas as pd
import pytest

from bids_ai.errors import InputError
from bids_ai.simulate.empty import write_empty_dataset

from .test_cohort import validator


def names(root, pattern):
    return sorted(path.name for path in root.rglob(pattern))


def test_every_subject_session_and_run_is_there(tmp_path):
    root = write_empty_dataset(tmp_path / "ds", 3, 2, 2)
    assert names(root / "sub-002", "*.nii.gz") == [
        "sub-002_ses-1_T1w.nii.gz",
        "sub-002_ses-1_task-rest_run-1_bold.nii.gz",
        "sub-002_ses-1_task-rest_run-2_bold.nii.gz",
        "sub-002_ses-2_task-rest_run-1_bold.nii.gz",
        "sub-002_ses-2_task-rest_run-2_bold.nii.gz",
    ]
    assert len(pd.read_csv(root / "participants.tsv", sep="\t")) == 3
    run = nib.load(root / "sub-001/ses-1/func/sub-001_ses-1_task-rest_run-1_bold.nii.gz")
    assert run.shape == (8, 8, 8, 50)
    assert run.get_fdata().std() > 0
    assert [path.name for path in root.iterdir() if path.name.startswith(".")] == []


def test_without_sessions_and_runs_the_names_bear_neither(tmp_path):
    root = write_empty_dataset(tmp_path / "ds", 1, None, 1, tasks=("rest", "nback"), n_frames=7)
    assert names(root, "*.nii.gz") == [
        "sub-001_T1w.nii.gz",
        "sub-001_task-nback_bold.nii.gz",
        "sub-001_task-rest_bold.nii.gz",
    ]
    assert json.loads((root / "task-nback_bold.json").read_text())["TaskName"] == "nback"


def test_ragged_subjects_lack_something_each(tmp_path):
    root = write_empty_dataset(tmp_path / "ds", 6, 2, 2, True, tasks=("rest", "nback"))
    counts = [len(names(root / f"sub-00{n}", "*.nii.gz")) for n in range(1, 7)]
    # All 9; no T1w; one run less of both tasks in the last session; one session; one task; all again.
    assert counts == [9, 8, 7, 5, 5, 9]
    assert names(root / "sub-002", "*T1w*") == []
    assert not (root / "sub-004" / "ses-2").exists()
    assert names(root / "sub-005", "*nback*") == []


def test_a_subject_may_have_no_bold_at_all(tmp_path):
    root = write_empty_dataset(tmp_path / "ds", 3, ragged=True)
    assert names(root / "sub-003", "*.nii.gz") == ["sub-003_T1w.nii.gz"]


@pytest.mark.parametrize("ragged", [False, True])
def test_validator_finds_no_error(tmp_path, ragged):
    root = write_empty_dataset(tmp_path / "ds", 5, 2, 2, ragged)
    call = subprocess.run(
        [validator(), str(root), "--format", "json"], capture_output=True, text=True, timeout=120, check=False
    )
    issues = json.loads(call.stdout)["issues"]["issues"]
    assert [issue["code"] for issue in issues if issue["severity"] == "error"] == []


def test_a_large_dataset_is_links(tmp_path):
    start = time.perf_counter()
    root = write_empty_dataset(tmp_path / "ds", 1000, 2, 2)
    # A fraction of a second on a quiet disk; a write of every file would be far above this.
    assert time.perf_counter() - start < 20
    images = list(root.rglob("*.nii.gz"))
    assert len(images) == 5000
    assert len({path.stat().st_ino for path in images}) == 2
    assert (root / "sub-1000").exists()
    assert (root / "sub-0001").exists()


def test_nothing_to_write_and_full_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="n_subjects=0, runs=0"):
        write_empty_dataset(tmp_path / "ds", 0, None, 0)
    (tmp_path / "x").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        write_empty_dataset(tmp_path, 1)
