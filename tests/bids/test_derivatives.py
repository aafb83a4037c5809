from pathlib import Path

import pytest

from bids_ai.bids.dataset import Selection
from bids_ai.bids.derivatives import parse_option, scan_fmriprep, scan_series, series_names
from bids_ai.errors import UsageError
from tests.conftest import write_tree

ALL = Selection()


@pytest.fixture
def fmriprep(tmp_path) -> Path:
    """What fMRIPrep leaves of two runs: BOLD in two spaces and on the surface."""
    files = {"dataset_description.json": {"Name": "fMRIPrep", "BIDSVersion": "1.4.0"}}
    for run in ("1", "2"):
        stem = f"sub-01/func/sub-01_task-rest_run-{run}"
        for space in ("space-MNI152NLin6Asym_res-2", "space-MNI152NLin2009cAsym", "space-T1w"):
            files[f"{stem}_{space}_desc-preproc_bold.nii.gz"] = None
            files[f"{stem}_{space}_desc-preproc_bold.json"] = {"RepetitionTime": 2.0, "StartTime": 0.95}
            files[f"{stem}_{space}_desc-brain_mask.nii.gz"] = None
            files[f"{stem}_{space}_boldref.nii.gz"] = None
        files[f"{stem}_space-fsLR_den-91k_bold.dtseries.nii"] = None
        files[f"{stem}_desc-confounds_timeseries.tsv"] = "csf\n1\n"
    return write_tree(tmp_path / "fmriprep", files)


def test_fmriprep_is_taken_in_the_preferred_space(fmriprep, tmp_path):
    raw = write_tree(tmp_path / "raw", {"sub-01/func/sub-01_task-rest_run-1_events.tsv": "onset\tduration\n"})
    [first, second], skipped = scan_fmriprep(fmriprep, ["01", "02"], ALL, raw)
    assert skipped == []
    func = fmriprep / "sub-01/func"
    stem = "sub-01_task-rest_run-1"
    assert first.source == str(func / f"{stem}_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz")
    assert first.mask == str(func / f"{stem}_space-MNI152NLin2009cAsym_desc-brain_mask.nii.gz")
    assert first.confounds == str(func / f"{stem}_desc-confounds_timeseries.tsv")
    assert first.events == str(raw / f"sub-01/func/{stem}_events.tsv")
    assert first.item == f"sub-01/func/{stem}"
    assert first.series == f"sub-01/func/{stem}_space-MNI152NLin2009cAsym"
    assert (first.engine, first.tr, first.start_time, first.space) == ("fmriprep", 2.0, 0.95, "MNI152NLin2009cAsym")
    assert (first.subject, first.session, first.task, first.run) == ("sub-01", None, "rest", "1")
    assert first.unused == (f"{stem}_space-MNI152NLin6Asym_res-2_desc-preproc_bold.nii.gz",)
    assert second.events is None


def test_the_next_space_serves_where_the_preferred_one_is_absent(fmriprep):
    for path in fmriprep.rglob("*2009cAsym_desc-preproc_bold.nii.gz"):
        path.unlink()
    [first, _], _ = scan_fmriprep(fmriprep, ["01"], ALL, None)
    assert first.space == "MNI152NLin6Asym"
    assert first.mask
    assert first.mask.endswith("_space-MNI152NLin6Asym_res-2_desc-brain_mask.nii.gz")


def test_native_space_and_surfaces_cannot_be_used(fmriprep):
    for path in fmriprep.rglob("*MNI152*_bold.nii.gz"):
        path.unlink()
    assert scan_fmriprep(fmriprep, ["01"], ALL, None) == ([], [])


def test_missing_companions_are_left_empty(fmriprep):
    for pattern in ("*mask.nii.gz", "*confounds*"):
        for path in fmriprep.rglob(pattern):
            path.unlink()
    [first, _], _ = scan_fmriprep(fmriprep, ["01"], ALL, None)
    assert (first.mask, first.confounds) == (None, None)


def test_confounds_by_their_older_name(fmriprep):
    for path in fmriprep.rglob("*desc-confounds_timeseries.tsv"):
        path.rename(path.with_name(path.name.replace("timeseries", "regressors")))
    [first, _], _ = scan_fmriprep(fmriprep, ["01"], ALL, None)
    assert first.confounds
    assert first.confounds.endswith("desc-confounds_regressors.tsv")


def test_sessions_tasks_and_runs_are_picked(fmriprep):
    [recording], _ = scan_fmriprep(fmriprep, ["01"], Selection(runs=["02"]), None)
    assert recording.run == "2"
    assert scan_fmriprep(fmriprep, ["01"], Selection(tasks=["nback"]), None) == ([], [])
    assert scan_fmriprep(fmriprep, ["01"], Selection(sessions=["1"]), None) == ([], [])


@pytest.mark.parametrize(
    ("sidecar", "tr"),
    [
        ({"RepetitionTime": 0}, None),
        ({"RepetitionTime": -1}, None),
        ({"RepetitionTime": "2"}, None),
        ({"RepetitionTime": True}, None),
        ({}, None),
        ({"RepetitionTime": 1, "StartTime": "soon"}, 1.0),
    ],
)
def test_a_repetition_time_that_is_none_is_none(tmp_path, sidecar, tr):
    """The checks before the first job leave such a run out."""
    stem = "sub-01/func/sub-01_task-rest_space-MNI152NLin6Asym_desc-preproc_bold"
    root = write_tree(tmp_path / "f", {f"{stem}.nii.gz": None, f"{stem}.json": sidecar})
    [recording], _ = scan_fmriprep(root, ["01"], ALL, None)
    assert recording.tr == tr
    assert recording.start_time == 0.0


def test_a_broken_sidecar_leaves_one_run_out(fmriprep, xcpd):
    for root in (fmriprep, xcpd):
        broken = next(path for path in sorted(root.rglob("*.json")) if "MNI152NLin2009cAsym" in path.name)
        broken.write_text("{")
    [recording], [skipped] = scan_fmriprep(fmriprep, ["01"], ALL, None)
    assert recording.run == "2"
    assert skipped.subject == "sub-01"
    assert "cannot be read as JSON" in skipped.reason
    [recording], [skipped] = scan_series(xcpd, ["01"], ALL)
    assert recording.atlas == "atlas-Tian"
    assert skipped.what.endswith("_seg-4S156Parcels_stat-mean_timeseries.tsv")


@pytest.fixture
def xcpd(tmp_path) -> Path:
    """What XCP-D leaves of one run: a table per atlas and measure."""
    stem = "sub-01/ses-1/func/sub-01_ses-1_task-rest_space-MNI152NLin2009cAsym"
    files = {"dataset_description.json": {"Name": "XCP-D", "BIDSVersion": "1.9.0"}}
    for atlas in ("4S156Parcels", "Tian"):
        files[f"{stem}_seg-{atlas}_stat-mean_timeseries.tsv"] = "LH_Vis_1\tNA\n1\t2\n"
        files[f"{stem}_seg-{atlas}_stat-mean_timeseries.json"] = {"SamplingFrequency": 1.25}
        files[f"{stem}_seg-{atlas}_stat-coverage_bold.tsv"] = "a\n1\n"
        files[f"{stem}_seg-{atlas}_stat-pearsoncorrelation_relmat.tsv"] = "Node\n"
        files[f"{stem}_seg-{atlas}_stat-alff_timeseries.tsv"] = "a\n1\n"
    files["sub-01/ses-1/func/sub-01_ses-1_task-rest_motion.tsv"] = "a\n1\n"
    files["sub-01/ses-1/func/sub-01_ses-1_task-rest_desc-confounds_timeseries.tsv"] = "a\n1\n"
    return write_tree(tmp_path / "xcpd", files)


def test_xcpd_gives_a_recording_per_atlas(xcpd):
    [first, second], _ = scan_series(xcpd, ["01"], ALL)
    assert (first.atlas, second.atlas) == ("atlas-4S156Parcels", "atlas-Tian")
    assert first.tr == pytest.approx(0.8)
    assert first.series == "sub-01/ses-1/func/sub-01_ses-1_task-rest_space-MNI152NLin2009cAsym"
    assert (first.engine, first.session, first.space) == ("timeseries", "1", "MNI152NLin2009cAsym")
    assert series_names(Path(first.source)) == ["LH_Vis_1", "NA"]


@pytest.mark.parametrize(
    ("sidecar", "tr"),
    [
        ({"RepetitionTime": 2.5, "SamplingFrequency": 9}, 2.5),
        ({"SamplingFrequency": 0.5}, 2.0),
        ({"SamplingFrequency": 0}, None),
        ({"RepetitionTime": 0, "SamplingFrequency": 0.5}, 2.0),
        ({}, None),
    ],
)
def test_repetition_time_of_series(tmp_path, sidecar, tr):
    stem = "sub-01/func/sub-01_task-rest_atlas-Schaefer2018_seg-7Networks_scale-100_timeseries"
    root = write_tree(tmp_path / "x", {f"{stem}.tsv": "a\n1\n", f"{stem}.json": sidecar})
    [recording], _ = scan_series(root, ["01"], ALL)
    assert recording.tr == tr
    assert recording.atlas == "atlas-Schaefer2018_seg-7Networks_scale-100"
    assert recording.series == "sub-01/func/sub-01_task-rest"


def test_derivatives_are_given_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my out").mkdir()
    assert parse_option(["fMRIPrep=my out", "xcp_d=my out"]) == {
        "fmriprep": tmp_path / "my out",
        "xcpd": tmp_path / "my out",
    }
    assert parse_option([]) == {}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("my out", "takes NAME=PATH"),
        ("freesurfer=x", "one of fmriprep, xcpd, qsiprep"),
        ("fmriprep=absent", "absent does not exist"),
        ("fmriprep=", "NAME=PATH"),
    ],
)
def test_derivatives_that_are_none_are_refused(tmp_path, monkeypatch, value, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=words):
        parse_option([value])
