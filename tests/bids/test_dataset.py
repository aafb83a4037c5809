from pathlib import Path

import pytest

from bids_ai.bids.dataset import Selection, dataset_name, participants, scan, strip_prefix, unpadded
from bids_ai.errors import UsageError

BOLD = {"RepetitionTime": 2.0, "TaskName": "rest", "EchoTime": 0.03}
ROOT = {"task-rest_bold.json": BOLD}


def found(root: Path, *labels: str, **asked):
    selection = Selection(**asked)
    inputs = scan(root, labels or participants(root, selection), selection)
    return inputs.anatomies, inputs.recordings, inputs.skipped


def items(recordings) -> list[str]:
    return [recording.item for recording in recordings]


# ---- which dataset, which subjects


@pytest.mark.parametrize("above", ["dwi", "func", "sub-9", "ses-b/run-7"])
def test_names_above_the_dataset_say_nothing_of_its_files(make_dataset, tmp_path, above):
    """pybids takes entities from whole paths: below a folder dwi, a T1w was no T1w."""
    files = {"sub-01/anat/sub-01_T1w.nii.gz": (4, 4, 4), "sub-01/func/sub-01_task-rest_bold.nii.gz": (4, 4, 4, 9)}
    (tmp_path / above).mkdir(parents=True)
    root = make_dataset(ROOT | files).rename(tmp_path / above / "dataset")
    anatomies, recordings, skipped = found(root, "01")
    assert items(anatomies) == ["sub-01/anat/sub-01"]
    assert items(recordings) == ["sub-01/func/sub-01_task-rest"]
    assert skipped == []


def test_a_folder_without_description_is_no_dataset(tmp_path):
    with pytest.raises(UsageError, match=r"is not a BIDS dataset: it has no dataset_description\.json"):
        dataset_name(tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        dataset_name(tmp_path / "absent")


@pytest.mark.parametrize("text", ["7", "null", "true", '"x"', "[]"])
def test_a_description_that_is_no_object_is_refused_by_the_index(make_dataset, text):
    root = make_dataset({"sub-01/anat/sub-01_T1w.nii.gz": (4, 4, 4)})
    (root / "dataset_description.json").write_text(text)
    with pytest.raises(UsageError, match="cannot be indexed as a BIDS dataset"):
        found(root, "01")


@pytest.mark.parametrize("text", ["", "{", '{"Name": "x",}', "\xff"])
def test_a_broken_description_is_refused(make_dataset, text):
    root = make_dataset({"dataset_description.json": text.encode("latin-1")})
    with pytest.raises(UsageError, match="is not valid JSON"):
        dataset_name(root)


def test_the_name_is_taken_as_it_is(make_dataset):
    name = "<script>alert('é')</script>"
    assert dataset_name(make_dataset({"dataset_description.json": {"Name": name}})) == name
    assert dataset_name(make_dataset({"dataset_description.json": {}}, name="Folder")) == "Folder"
    assert dataset_name(make_dataset({"dataset_description.json": [1]}, name="Folder2")) == "Folder2"


@pytest.mark.parametrize("label", ["../x", "sub-../x", "01/..", "a_b", "a-b", "", "sub-", "ü", "0 1", "01\n"])
def test_what_no_label_can_be_is_refused(label):
    with pytest.raises(UsageError, match="is no BIDS label"):
        strip_prefix(label, "sub")


def test_prefixes_are_taken_off():
    assert [strip_prefix(label, "sub") for label in ("01", "sub-01", "subject", "A1b", "01+2")] == [
        "01",
        "01",
        "subject",
        "A1b",
        "01+2",
    ]
    assert strip_prefix("ses-pre", "ses") == "pre"
    assert [unpadded(run) for run in ("01", "1", "000", "10")] == ["1", "1", "0", "10"]


def test_subjects_that_are_absent_are_named(make_dataset):
    root = make_dataset({"sub-01/x": None, "sub-02/x": None, "sub-03": "a file"})
    assert participants(root, Selection()) == ["01", "02"]
    assert participants(root, Selection(participants=["02"])) == ["02"]
    assert participants(root, Selection(excluded=["02", "99"])) == ["01"]
    with pytest.raises(UsageError, match=r": 03, 1\. It has: 01, 02\."):
        participants(root, Selection(participants=["1", "02", "03"]))
    with pytest.raises(UsageError, match="also excluded"):
        participants(root, Selection(participants=["01"], excluded=["01"]))


def test_a_dataset_without_subjects_is_refused(make_dataset):
    with pytest.raises(UsageError, match="nothing to work on"):
        participants(make_dataset({"README": "x"}), Selection())


def test_folders_that_only_look_like_subjects_are_left_alone(make_dataset):
    root = make_dataset(
        ROOT
        | {
            "sub-01/anat/sub-01_T1w.nii.gz": None,
            "sub-01_old/anat/sub-01_old_T1w.nii.gz": None,
            "sub-/anat/sub-_T1w.nii.gz": None,
            "derivatives/x/sub-02/anat/sub-02_T1w.nii.gz": None,
        }
    )
    assert participants(root, Selection()) == ["01"]
    anatomies, _, skipped = found(root)
    assert [Path(entry.t1w).parent.parent.name for entry in anatomies] == ["sub-01"]
    assert skipped == []


# ---- what is chosen


def test_with_and_without_sessions(make_dataset):
    root = make_dataset(
        ROOT
        | {
            "sub-01/anat/sub-01_T1w.nii.gz": None,
            "sub-01/func/sub-01_task-rest_bold.nii.gz": None,
            "sub-02/ses-a/anat/sub-02_ses-a_T1w.nii.gz": None,
            "sub-02/ses-a/func/sub-02_ses-a_task-rest_bold.nii.gz": None,
            "sub-02/ses-b/func/sub-02_ses-b_task-rest_bold.nii.gz": None,
        }
    )
    anatomies, recordings, skipped = found(root)
    assert [entry.item for entry in anatomies] == ["sub-01/anat/sub-01", "sub-02/ses-a/anat/sub-02_ses-a"]
    assert items(recordings) == [
        "sub-01/func/sub-01_task-rest",
        "sub-02/ses-a/func/sub-02_ses-a_task-rest",
        "sub-02/ses-b/func/sub-02_ses-b_task-rest",
    ]
    # The T1w of one session serves all.
    assert [entry.anat for entry in recordings] == [anatomies[0].item, anatomies[1].item, anatomies[1].item]
    assert [(entry.session, entry.task, entry.run) for entry in recordings] == [
        (None, "rest", None),
        ("a", "rest", None),
        ("b", "rest", None),
    ]
    assert {entry.tr for entry in recordings} == {2.0}
    assert {entry.engine for entry in recordings} == {"builtin"}
    assert all(entry.series == entry.item for entry in recordings)
    assert skipped == []
    assert Path(recordings[0].source) == root / "sub-01/func/sub-01_task-rest_bold.nii.gz"


def test_the_first_t1w_is_taken_and_the_others_are_named(make_dataset):
    root = make_dataset(
        {
            "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz": None,
            "sub-01/ses-1/anat/sub-01_ses-1_run-2_T1w.nii.gz": None,
            "sub-01/ses-1/anat/sub-01_ses-1_run-1_T1w.nii.gz": None,
            "sub-01/ses-1/anat/sub-01_ses-1_T2w.nii.gz": None,
        }
    )
    [anatomy], _, _ = found(root)
    assert Path(anatomy.t1w).name == "sub-01_ses-1_run-1_T1w.nii.gz"
    assert anatomy.item == "sub-01/ses-1/anat/sub-01_ses-1"
    assert anatomy.unused == ("sub-01_ses-1_run-2_T1w.nii.gz", "sub-01_ses-2_T1w.nii.gz")
    # One of a session asked for comes first; without one there, another session still serves.
    [anatomy], _, _ = found(root, sessions=["2"])
    assert anatomy.item == "sub-01/ses-2/anat/sub-01_ses-2"


@pytest.fixture
def several_runs(make_dataset):
    files = {
        f"sub-01/ses-{ses}/func/sub-01_ses-{ses}_task-{task}_run-{run}_bold.nii.gz": None
        for ses in ("1", "2")
        for task in ("rest", "nback")
        for run in ("01", "02")
    }
    return make_dataset(ROOT | {"task-nback_bold.json": BOLD, "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii": None} | files)


def test_all_runs_are_found_and_keep_their_labels(several_runs):
    _, recordings, _ = found(several_runs)
    assert len(recordings) == 8
    assert items(recordings)[0] == "sub-01/ses-1/func/sub-01_ses-1_task-nback_run-01"
    assert recordings[0].run == "01"


@pytest.mark.parametrize(
    ("asked", "number"),
    [
        ({"tasks": ["rest"]}, 4),
        ({"sessions": ["2"]}, 4),
        ({"runs": ["1"]}, 4),
        ({"runs": ["002"]}, 4),
        ({"runs": ["1", "2"], "tasks": ["nback", "rest"]}, 8),
        ({"tasks": ["nback"], "sessions": ["1"], "runs": ["2"]}, 1),
        ({"filters": {"bold": {"task": "nback", "run": 2}}}, 2),
        ({"filters": {"bold": {"acquisition": None}}}, 8),
        ({"filters": {"bold": {"session": "*"}}}, 8),
    ],
)
def test_what_is_asked_for_is_taken(several_runs, asked, number):
    _, recordings, _ = found(several_runs, **asked)
    assert len(recordings) == number
    for key, entity in (("tasks", "task"), ("sessions", "session")):
        assert {getattr(entry, entity) for entry in recordings} <= set(asked.get(key, ["rest", "nback", "1", "2"]))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"tasks": ["rset"]}, r"task rset.*nback, rest"),
        ({"tasks": ["rest", "rset"]}, r"task rset"),
        ({"sessions": ["3"]}, r"session 3.*1, 2"),
        ({"runs": ["7"]}, r"run 7.*01, 02"),
        ({"tasks": ["x"], "runs": ["7"]}, r"(?s)task x.*run 7"),
    ],
)
def test_what_is_asked_for_and_absent_is_named(several_runs, asked, words):
    """Otherwise a misspelled task would end in nothing but anatomy, and exit code 0."""
    with pytest.raises(UsageError, match=words):
        found(several_runs, **asked)


def test_an_unknown_entity_in_a_filter_is_named(several_runs):
    with pytest.raises(UsageError, match="tsak"):
        found(several_runs, filters={"bold": {"tsak": "rest"}})


def test_a_filter_that_leaves_nothing_leaves_the_subject_out(make_dataset):
    root = make_dataset(ROOT | {"sub-01/func/sub-01_task-rest_acq-x_bold.nii.gz": None})
    _, recordings, skipped = found(root, filters={"bold": {"acquisition": None}})
    assert recordings == []
    assert [(entry.subject, entry.what) for entry in skipped] == [("sub-01", "subject")]


def test_a_subject_without_data_is_told_and_is_a_fault_only_where_it_was_asked_for(make_dataset):
    root = make_dataset({"sub-01/anat/sub-01_T1w.nii.gz": None, "sub-02/perf/sub-02_asl.nii.gz": None})
    _, _, [entry] = found(root)
    assert (entry.subject, entry.fault) == ("sub-02", False)
    assert "no T1w, no BOLD, EEG or iEEG run and no DWI" in entry.reason
    _, _, [entry] = found(root, participants=["02"])
    assert entry.fault


def test_the_echo_nearest_30_ms_is_taken(make_dataset):
    root = make_dataset(
        ROOT
        | {f"sub-01/func/sub-01_task-rest_echo-{echo}_bold.nii.gz": None for echo in (1, 2, 3)}
        | {
            f"sub-01/func/sub-01_task-rest_echo-{echo}_bold.json": {"EchoTime": time}
            for echo, time in ((1, 0.0126), (2, 0.0281), (3, 0.0436))
        }
        | {"sub-01/func/sub-01_task-rest_events.tsv": "onset\tduration\n"}
    )
    _, [recording], _ = found(root)
    assert Path(recording.source).name == "sub-01_task-rest_echo-2_bold.nii.gz"
    assert recording.item == "sub-01/func/sub-01_task-rest"
    assert set(recording.unused) == {f"sub-01_task-rest_echo-{echo}_bold.nii.gz" for echo in (1, 3)}
    assert recording.events == str(root / "sub-01/func/sub-01_task-rest_events.tsv")


def test_phases_are_not_taken_for_magnitudes(make_dataset):
    stem = "sub-01/func/sub-01_task-rest"
    root = make_dataset(
        ROOT
        | {
            f"{stem}_part-mag_bold.nii.gz": None,
            f"{stem}_part-phase_bold.nii.gz": None,
            f"{stem}_part-mag_sbref.nii.gz": None,
        }
    )
    _, [recording], _ = found(root)
    assert Path(recording.source).name == "sub-01_task-rest_part-mag_bold.nii.gz"
    assert recording.sbref == str(root / f"{stem}_part-mag_sbref.nii.gz")


def test_companions_and_what_is_not_used(make_dataset):
    stem = "sub-01/ses-1/func/sub-01_ses-1_task-rest_run-1"
    root = make_dataset(
        ROOT
        | {
            f"{stem}_bold.nii.gz": None,
            f"{stem}_bold.json": {"SliceTiming": [0, 1, 0.5], "SliceEncodingDirection": "k-"},
            f"{stem}_sbref.nii.gz": None,
            f"{stem}_events.tsv": "onset\tduration\n",
            "sub-01/ses-1/fmap/sub-01_ses-1_dir-AP_epi.nii.gz": None,
            "sub-01/ses-2/fmap/sub-01_ses-2_dir-PA_epi.nii.gz": None,
        }
    )
    _, [recording], _ = found(root)
    assert recording.slice_timing == (0.0, 1.0, 0.5)
    assert recording.slice_encoding == "k-"
    assert recording.sbref == str(root / f"{stem}_sbref.nii.gz")
    assert recording.events == str(root / f"{stem}_events.tsv")
    assert recording.unused == ("sub-01_ses-1_dir-AP_epi.nii.gz",)
    assert recording.anat is None


def test_both_endings_spaces_and_other_letters(make_dataset):
    root = make_dataset(
        ROOT | {"sub-01/anat/sub-01_T1w.nii": None, "sub-01/func/sub-01_task-rest_bold.nii": None},
        name="Daten mit Ümläuten/derivatives/.hidden",
    )
    [anatomy], [recording], _ = found(root)
    assert Path(anatomy.t1w) == root / "sub-01/anat/sub-01_T1w.nii"
    assert Path(recording.source) == root / "sub-01/func/sub-01_task-rest_bold.nii"


@pytest.mark.parametrize(
    ("sidecar", "words"),
    [
        ({"RepetitionTime": 0}, "RepetitionTime is 0"),
        ({"RepetitionTime": -2.0}, "RepetitionTime is -2.0"),
        ({"RepetitionTime": "2"}, "RepetitionTime is '2'"),
        ({"RepetitionTime": True}, "RepetitionTime is True"),
        ({"RepetitionTime": 2000}, "RepetitionTime is 2000"),
        ({"RepetitionTime": None}, "no RepetitionTime"),
        ({"VolumeTiming": [0, 9]}, "VolumeTiming"),
        ({"RepetitionTime": 2, "SliceTiming": "0.1"}, "SliceTiming"),
        ({"RepetitionTime": 2, "SliceTiming": 0.1}, "SliceTiming"),
        ({"RepetitionTime": 2, "SliceTiming": [0, None]}, "SliceTiming"),
        ('{"RepetitionTime": 2', "cannot be read as JSON"),
    ],
)
def test_one_bad_sidecar_leaves_one_run_out(make_dataset, sidecar, words):
    root = make_dataset(
        {
            "sub-01/func/sub-01_task-rest_run-1_bold.nii.gz": None,
            "sub-01/func/sub-01_task-rest_run-1_bold.json": sidecar,
            "sub-01/func/sub-01_task-rest_run-2_bold.nii.gz": None,
            "sub-01/func/sub-01_task-rest_run-2_bold.json": BOLD,
        }
    )
    _, recordings, [skipped] = found(root)
    assert items(recordings) == ["sub-01/func/sub-01_task-rest_run-2"]
    assert skipped.what == "sub-01_task-rest_run-1_bold.nii.gz"
    assert words in skipped.reason
    assert skipped.fault


def test_an_echo_time_that_is_no_number_decides_nothing(make_dataset):
    root = make_dataset(
        {
            "sub-01/func/sub-01_task-rest_echo-1_bold.nii.gz": None,
            "sub-01/func/sub-01_task-rest_echo-1_bold.json": {"RepetitionTime": 2, "EchoTime": "n/a"},
            "sub-01/func/sub-01_task-rest_echo-2_bold.nii.gz": None,
            "sub-01/func/sub-01_task-rest_echo-2_bold.json": {"RepetitionTime": 2, "EchoTime": 0.028},
        }
    )
    _, [recording], _ = found(root)
    assert Path(recording.source).name == "sub-01_task-rest_echo-2_bold.nii.gz"


def test_only_the_subjects_asked_for_are_read(make_dataset):
    root = make_dataset(
        ROOT
        | {f"sub-{label}/anat/sub-{label}_T1w.nii.gz": None for label in ("01", "011", "02")}
        | {"sub-02/func/sub-02_task-rest_bold.nii.gz": None, "sub-02/func/sub-02_task-rest_bold.json": "broken"}
    )
    anatomies, recordings, skipped = found(root, participants=["01"])
    assert [entry.subject for entry in anatomies] == ["sub-01"]
    assert (recordings, skipped) == ([], [])


def test_a_kept_database_serves_other_subjects_too(make_dataset, tmp_path):
    root = make_dataset(ROOT | {f"sub-{label}/anat/sub-{label}_T1w.nii.gz": None for label in ("01", "02")})
    for label in ("01", "02"):
        [anatomy], _, _ = found(root, participants=[label], database=tmp_path / "database")
        assert anatomy.subject == f"sub-{label}"
