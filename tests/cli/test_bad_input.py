"""Every bad input is refused before the first job, or left out by name while the others go on."""

import json
import os
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_ai.bids.index import Index
from tests.conftest import DESCRIPTION, Answer, listing, subject_files, write_image, write_tree

QUICK = ("--skip-bids-validation", "--atlases", "EqualVolume:20")


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def data(make_dataset) -> Path:
    return make_dataset(subject_files("01"))


@pytest.fixture
def run(run_cli, out, shared_work):
    """The whole command. What is not refused would start Snakemake, which is then told to plan only."""

    def call(data: Path, *options: object, output: Path | None = None) -> Answer:
        places = (data, output or out, "participant", "-w", shared_work)
        return run_cli("run", *places, *QUICK, *options, "--", "--dry-run")

    return call


def assert_refused(answer: Answer, *words: str) -> None:
    assert answer.code == 2, answer.text
    for part in words:
        assert part in answer.err
    assert answer.err.startswith("bids-ai: ")
    assert "Traceback" not in answer.text


# ---- the dataset


def test_a_folder_that_is_not_bids(run, tmp_path, out):
    for folder in ("empty", "absent"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        answer = run(tmp_path / folder)
        assert_refused(answer, str(tmp_path / folder))
        assert not out.exists()
    assert "does not exist" in answer.err


def test_a_dataset_without_subjects(run, make_dataset, out):
    assert_refused(run(make_dataset({"README": "x"})), "No sub-* folder", "nothing to work on")
    assert not out.exists()


def test_nothing_to_work_on_lists_what_was_looked_for(run, make_dataset, out):
    data = make_dataset({"sub-01/perf/sub-01_asl.nii.gz": None})
    assert_refused(run(data), "Nothing to work on. Looked for *_T1w.nii[.gz] in anat/", "sub-01 subject: no T1w")
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--participant-label", "01", "sub-99"], ["Not in", ": 99. It has: 01."]),
        (["--participant-label", "../x"], ["'../x' is no BIDS label"]),
        (["--participant-label", "sub-../../etc"], ["is no BIDS label"]),
        (["--participant-label", "01", "--exclude-participant-label", "01"], ["No matching subject"]),
        (["--task-id", "rset"], ["task rset (there is: rest)"]),
        (["--session-id", "1"], ["session 1 (there is: none)"]),
        (["--device", "quantum"], []),
        (["--min-coverage", "2"], ["parcellation.min_coverage", "less than or equal to 1"]),
        (["--random-seed", "-1"], ["random_seed", "greater than or equal to 0"]),
        (["--model", "ridge"], ["Unknown surrogate model 'ridge'", "ridge-var"]),
        (["--derivatives", "fmriprep=/absent"], ["folder /absent does not exist"]),
        (["--derivatives", "freesurfer=/"], ["one of fmriprep, xcpd"]),
        (["--config-file", "absent.yaml"], ["absent.yaml cannot be read: No such file"]),
        (["--bids-filter-file", "absent.json"], ["absent.json cannot be read"]),
    ],
)
def test_what_is_asked_for_and_cannot_be(run, data, out, options, words):
    answer = run(data, *options)
    assert answer.code == 2, answer.text
    for part in words:
        assert part in answer.err
    assert "Traceback" not in answer.text
    assert not out.exists()


def test_an_unknown_key_of_the_configuration(run, data, out, tmp_path):
    (tmp_path / "my.yaml").write_text("fucn:\n  confounds: 24p\n")
    answer = run(data, "--config-file", tmp_path / "my.yaml")
    assert_refused(answer, "my.yaml cannot be used", "unknown key 'fucn': did you mean 'func'?")
    assert not out.exists()


def test_cuda_without_a_gpu(run, data, out):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    for option in (["--device", "cuda"], ["--gpu"]):
        assert_refused(run(data, *option), "torch sees no CUDA GPU: use --device cpu or auto")
    assert not out.exists()


# ---- places


def test_output_and_input_are_kept_apart(run, run_cli, data, out, tmp_path):
    before = listing(data)
    assert_refused(run(data, output=data), "output folder is the BIDS folder itself")
    assert_refused(run(data, output=data / "out"), "only its derivatives/ may hold outputs")
    answer = run_cli("run", data, out, "participant", "-w", data / "work", *QUICK)
    assert_refused(answer, "is inside the BIDS folder; give another one with --work-dir")
    assert listing(data) == before
    assert not out.exists()


def test_output_that_cannot_be_written(run, data, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    try:
        assert_refused(run(data, output=closed), f"output folder {closed} cannot be written", "no permission")
        assert_refused(run(data, output=closed / "new"), "cannot be written")
        assert listing(closed) == []
    finally:
        closed.chmod(0o755)


def test_outputs_of_another_tool_stay_as_they_are(run, data, out):
    other = {"Name": "fMRIPrep", "DatasetType": "derivative", "GeneratedBy": [{"Name": "fMRIPrep"}]}
    write_tree(out, {"dataset_description.json": other, "sub-01.html": "theirs"})
    assert_refused(run(data), "holds the outputs of another tool")
    assert listing(out) == ["dataset_description.json", "sub-01.html"]
    assert (out / "sub-01.html").read_text() == "theirs"


def test_all_findings_come_in_one_message(run_cli, data):
    answer = run_cli("run", data, data / "out", "participant", "-w", data / "work", *QUICK, "--model", "x")
    assert_refused(answer, "refused before the first job:", "The output folder", "The work folder", "Unknown surrogate")
    assert answer.err.count("\n  - ") == 3


# ---- atlases


def atlas_file(folder: Path, name: str, labels: np.ndarray, table: str | None) -> Path:
    folder.mkdir(exist_ok=True)
    image = nib.Nifti1Image(labels, np.diag([4.0, 4.0, 4.0, 1.0]))
    image.set_sform(image.affine, code="mni")
    nib.save(image, folder / f"{name}.nii.gz")
    if table is not None:
        (folder / f"{name}.tsv").write_text(table)
    return folder / f"{name}.nii.gz"


LABELS = np.zeros((8, 8, 8), np.int16)
LABELS[:4], LABELS[4:] = 1, 2
TABLE = "index\tname\n1\tLH_A\n2\tRH_A\n"
SPACE = "space-MNI152NLin6Asym"


@pytest.mark.parametrize(
    ("name", "labels", "table", "words"),
    [
        (f"atlas-X_{SPACE}_dseg", LABELS, None, "No region table for"),
        (f"atlas-X_{SPACE}_dseg", LABELS, "index\tname\n1\tLH_A\n", "1 of 2 labels in"),
        (f"atlas-X_{SPACE}_dseg", LABELS * np.float32(0.5), TABLE, "not integers (such as 0.5)"),
        (f"atlas-X_{SPACE}_dseg", LABELS * 0, TABLE, "holds no region"),
        ("atlas-X_dseg", LABELS, TABLE, "is unknown: neither a JSON beside it"),
        ("atlas-X_space-MNI152_dseg", LABELS, TABLE, "names a family of templates"),
        ("atlas-X_space-fsaverage_dseg", LABELS, TABLE, "Only volumes in an MNI152 space"),
        ("atlas-X_space-T1w_dseg", LABELS, TABLE, "Only volumes in an MNI152 space"),
    ],
)
def test_an_atlas_that_cannot_be_used(run, data, out, tmp_path, name, labels, table, words):
    atlas = atlas_file(tmp_path / "atlas", name, labels, table)
    assert_refused(run(data, "--atlases", atlas), f"Atlas {atlas}: ", words)
    assert not out.exists()


def test_all_that_an_atlas_file_lacks_is_said_at_once(run, data, out, tmp_path):
    atlas = atlas_file(tmp_path / "my atlas", "schaefer", LABELS, None)
    answer = run(data, "--atlases", atlas)
    call = f"bids-ai run DATA OUT participant --atlases '{atlas}' --atlas-table TABLE.tsv --atlas-space SPACE"
    assert_refused(answer, "No region table for", "space of schaefer.nii.gz is unknown", f"{call} --atlas-template T1W")
    assert "If its space is not MNI152NLin2009aSym" in answer.err
    assert not out.exists()
    table, template = tmp_path / "my.tsv", write_image(tmp_path / "t1w.nii.gz", (8, 8, 8))
    table.write_text(TABLE)
    # What is given stays in the call, and is asked for no more.
    one = run(data, "--atlases", atlas, "--atlas-table", table)
    assert_refused(one, "is unknown", f"--atlas-table {table} --atlas-space SPACE --atlas-template T1W.nii.gz")
    assert "No region table" not in one.err
    two = run(data, "--atlases", atlas, "--atlas-space", "MNI152NLin6Asym")
    assert_refused(
        two, "As its space is not MNI152NLin2009aSym", "--atlas-table TABLE.tsv --atlas-space MNI152NLin6Asym"
    )
    assert "is unknown" not in two.err
    same = run(data, "--atlases", atlas, "--atlas-space", "MNI152NLin2009aSym")
    assert_refused(same, "No region table for", "--atlas-table TABLE.tsv --atlas-space MNI152NLin2009aSym\n")
    all_three = ("--atlas-table", table, "--atlas-space", "MNI152NLin6Asym", "--atlas-template", template)
    assert run(data, "--atlases", atlas, *all_three).code == 0


def test_the_table_of_one_of_several_atlas_files_lies_beside_it(run, data, tmp_path):
    atlases = [atlas_file(tmp_path / name, name, LABELS, None) for name in ("one", "two")]
    answer = run(data, "--atlases", *atlases)
    assert_refused(answer, *(f"Atlas {atlas}: No region table" for atlas in atlases), "Put one beside it")
    assert f"--atlases {atlases[0]} {atlases[1]} --atlas-space SPACE --atlas-template T1W.nii.gz" in answer.err
    assert "--atlas-table TABLE" not in answer.err


def test_an_atlas_in_no_template_is_told_no_call_that_would_not_help(run, data, tmp_path):
    atlas = atlas_file(tmp_path / "atlas", "atlas-X_space-T1w_dseg", LABELS, None)
    answer = run(data, "--atlases", atlas)
    assert_refused(answer, "No region table for", "Only volumes in an MNI152 space")
    assert "All at once" not in answer.err


@pytest.mark.parametrize(
    ("atlases", "words"),
    [
        (["Schaefer400"], "There is no atlas 'Schaefer400'. Registered are "),
        (["absent.nii.gz"], "absent.nii.gz does not exist"),
        (["EqualVolume"], "needs its number of regions"),
        (["EqualVolume:20", "EqualVolume:20"], "a second atlas would be called atlas-EqualVolume_scale-20"),
        (["EqualVolume:20", "--atlas-table", "my.tsv"], "is for one atlas file, and 0 are given"),
    ],
)
def test_atlases_that_are_none(run, data, out, atlases, words):
    assert_refused(run(data, "--atlases", *atlases), words)
    assert not out.exists()


def test_every_atlas_is_told_of(run, data, tmp_path):
    one = atlas_file(tmp_path / "one", "atlas-X_dseg", LABELS, TABLE)
    two = atlas_file(tmp_path / "two", f"atlas-Y_{SPACE}_dseg", LABELS, None)
    answer = run(data, "--atlases", one, "Nope", two)
    assert_refused(answer, f"Atlas {one}", "Atlas Nope", f"Atlas {two}")


# ---- what is left out by name, while the others go on


@pytest.fixture
def mixed(make_dataset) -> Path:
    """One sound subject, and one for every fault that concerns one recording only."""
    labels = ("sound", "header", "short", "single", "noTR", "zeroTR", "noT1w", "flat", "timing")
    files = {}
    for label in labels:
        files |= subject_files(label)
    files["sub-noTR/func/sub-noTR_task-rest_bold.json"] = {"TaskName": "rest"}
    files["sub-zeroTR/func/sub-zeroTR_task-rest_bold.json"] = {"RepetitionTime": 0}
    files["sub-timing/func/sub-timing_task-rest_bold.json"] = {"RepetitionTime": 2, "SliceTiming": [0, 1000]}
    files["sub-single/func/sub-single_task-rest_bold.nii.gz"] = (8, 8, 8, 1)
    files["sub-flat/anat/sub-flat_T1w.nii.gz"] = (8, 8, 2)
    files["sub-nothing/perf/sub-nothing_asl.nii.gz"] = None
    root = make_dataset(files)
    (root / "sub-noT1w/anat/sub-noT1w_T1w.nii.gz").unlink()
    (root / "sub-header/func/sub-header_task-rest_bold.nii.gz").write_bytes(b"\0" * 500)
    short = root / "sub-short/func/sub-short_task-rest_bold.nii.gz"
    short.write_bytes(short.read_bytes()[:-400])
    return root


def test_one_fault_stops_no_other_subject(run_cli, mixed, out, tmp_path, new_work):
    work = new_work()
    answer = run_cli("index", mixed, out, "-w", work, *QUICK)
    assert answer.code == 0, answer.text
    [path] = (work / "runs").glob("*/index.json")
    index = Index.load(path)
    assert [entry.subject for entry in index.recordings] == ["sub-sound"]
    # A T1w is worked on also where the BOLD cannot be.
    assert [entry.subject for entry in index.anatomies] == sorted(
        f"sub-{label}" for label in ("sound", "header", "short", "single", "noTR", "zeroTR", "timing")
    )
    reasons = {
        entry.subject: (entry.what, entry.reason, entry.fault)
        for entry in index.skipped
        if not entry.what.endswith("_T1w.nii.gz")
    }
    bold = {label: f"sub-{label}_task-rest_bold.nii.gz" for label in ("header", "short", "single", "noTR", "zeroTR")}
    for label, words in {
        "header": "its header cannot be read",
        "short": "it is cut short",
        "single": "it has 1 volume; at least 10 are needed",
        "noTR": "no RepetitionTime in its JSON sidecar",
        "zeroTR": "RepetitionTime is 0; it must be in seconds and above 0",
    }.items():
        what, reason, fault = reasons[f"sub-{label}"]
        assert what == bold[label]
        assert words in reason
        assert fault
    assert "must be in seconds" in reasons["sub-timing"][1]
    assert "no usable T1w" in reasons["sub-noT1w"][1]
    assert "no usable T1w" in reasons["sub-flat"][1]
    assert reasons["sub-nothing"][2] is False
    flat = [entry.reason for entry in index.skipped if entry.what == "sub-flat_T1w.nii.gz"]
    assert flat == ["it has shape (8, 8, 2); fewer than 8 voxels along an axis cannot be registered"]


def test_other_tools_leave_faults_too(run_cli, out, tmp_path, new_work):
    work = new_work()
    stem = "func/sub-{0}_task-rest"
    files = {"dataset_description.json": {"Name": "fMRIPrep", "BIDSVersion": "1.4.0"}}
    for label in ("sound", "mask", "confounds", "zeroTR"):
        base = f"sub-{label}/{stem.format(label)}_space-MNI152NLin2009cAsym"
        files[f"{base}_desc-preproc_bold.nii.gz"] = (8, 8, 8, 20)
        files[f"{base}_desc-preproc_bold.json"] = {"RepetitionTime": 0 if label == "zeroTR" else 2}
        if label != "mask":
            files[f"{base}_desc-brain_mask.nii.gz"] = (8, 8, 8)
        if label != "confounds":
            files[f"sub-{label}/{stem.format(label)}_desc-confounds_timeseries.tsv"] = "csf\n1\n"
    root = write_tree(tmp_path / "fmriprep", files)
    answer = run_cli("index", "-", out, "-w", work, *QUICK, "--derivatives", f"fmriprep={root}")
    assert answer.code == 0, answer.text
    [path] = (work / "runs").glob("*/index.json")
    index = Index.load(path)
    assert [entry.subject for entry in index.recordings] == ["sub-sound"]
    reasons = {entry.subject: entry.reason for entry in index.skipped}
    assert reasons["sub-mask"] == "no brain mask beside it in the derivatives"
    assert reasons["sub-confounds"] == "no confounds beside it in the derivatives"
    assert "no RepetitionTime" in reasons["sub-zeroTR"]


def test_series_of_another_tool_are_looked_into(run_cli, out, tmp_path):
    work = tmp_path / "work"
    rows = "\n".join(f"{n}\t{n % 3}" for n in range(20))
    files = {"dataset_description.json": {"Name": "XCP-D", "BIDSVersion": "1.4.0"}}
    for label, text in {
        "sound": f"A\tB\n{rows}\n",
        "few": "A\tB\n1\t2\n",
        "words": f"A\tB\n{rows}\nx\ty\n",
        "empty": "",
    }.items():
        stem = f"sub-{label}/func/sub-{label}_task-rest_seg-Tian_stat-mean_timeseries"
        files |= {f"{stem}.tsv": text, f"{stem}.json": {"RepetitionTime": 2}}
    root = write_tree(tmp_path / "xcpd", files)
    answer = run_cli("index", "-", out, "-w", work, *QUICK, "-d", f"xcpd={root}")
    assert answer.code == 0, answer.text
    [path] = (work / "runs").glob("*/index.json")
    index = Index.load(path)
    assert [entry.subject for entry in index.recordings] == ["sub-sound"]
    assert [entry.label for entry in index.atlases] == ["atlas-Tian"]
    reasons = {entry.subject: entry.reason for entry in index.skipped}
    assert "it has 1 frames; at least 10" in reasons["sub-few"]
    assert reasons["sub-words"] == "columns without numbers: A, B"
    assert "is empty" in reasons["sub-empty"]


# ---- strange and valid


def test_spaces_other_letters_and_html_are_data(run_cli, make_dataset, tmp_path, new_work):
    name = "<script>alert('é')</script>"
    files = {"dataset_description.json": DESCRIPTION | {"Name": name}}
    data = make_dataset(files | subject_files("01"), name="Daten & Ümläute")
    out, work = tmp_path / "Aus gabe é", new_work("Arbeit ß")
    answer = run_cli("index", data, out, "-w", work, *QUICK)
    assert answer.code == 0, answer.text
    [path] = (work / "runs").glob("*/index.json")
    index = Index.load(path)
    assert index.dataset_name == name
    assert Path(index.recordings[0].source).is_relative_to(data)
    description = json.loads((out / "dataset_description.json").read_text(encoding="utf-8"))
    assert description["Name"] == f"bids_ai derivatives of {name}"


def test_an_input_that_cannot_be_written_is_no_obstacle(run_cli, make_dataset, out, tmp_path, new_work):
    data = make_dataset(subject_files("01"))
    work = new_work()
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    for folder, _, _ in os.walk(data):
        Path(folder).chmod(0o555)
    try:
        assert run_cli("index", data, out, "-w", work, *QUICK).code == 0
    finally:
        for folder, _, _ in os.walk(data):
            Path(folder).chmod(0o755)
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before


def test_an_image_that_is_no_nifti_by_name_is_not_taken(run_cli, make_dataset, out, shared_work):
    data = make_dataset({"sub-01/anat/sub-01_T1w.mgz": None})
    write_image(data / "sub-01/anat/sub-01_T1w.img", (8, 8, 8))
    answer = run_cli("index", data, out, "-w", shared_work, *QUICK)
    assert_refused(answer, "Nothing to work on")


def test_warnings_of_the_validator_refuse_nothing(run_cli, make_dataset, out, tmp_path, shared_work):
    """One file that is not BIDS must not stop the others; what cannot be used is left out by name."""
    pytest.importorskip("bids_validator_deno")
    data = make_dataset(subject_files("01") | {"sub-01/anat/notes.doc": "x"})
    args = ("run", data, out, "participant", "-w", shared_work, "--atlases", "EqualVolume:20", "--boilerplate-only")
    answer = run_cli(*args)
    assert answer.code == 0, answer.text
    assert "warning: The bids-validator finds" in answer.err
    assert "NOT_INCLUDED in /sub-01/anat/notes.doc" in answer.err
    assert not out.exists()


def test_folders_with_odd_names_are_told_of(run_cli, make_dataset, out, shared_work):
    data = make_dataset(subject_files("01") | {"sub-02_old/x": None})
    answer = run_cli("run", data, out, "participant", "-w", shared_work, *QUICK, "--boilerplate-only")
    assert answer.code == 0, answer.text
    assert "Not looked into, since their names are no BIDS labels: sub-02_old." in answer.err


def test_inputs_that_are_dated_in_the_future_are_told_of(run_cli, make_dataset, out, shared_work):
    """They stay newer than what is made of them, which every run would make again."""
    data = make_dataset(subject_files("01") | subject_files("02"))
    args = ("run", data, out, "participant", "-w", shared_work, *QUICK, "--boilerplate-only")
    assert "in the future" not in run_cli(*args).err
    bold = data / "sub-02/func/sub-02_task-rest_bold.nii.gz"
    os.utime(bold, (time.time() + 3 * 86400,) * 2)
    answer = run_cli(*args)
    assert answer.code == 0, answer.text
    assert f"1 input file(s) are dated up to 3 days in the future, such as {bold}" in answer.err


@pytest.mark.parametrize(
    ("path", "words"),
    [("a" * 5000, "--atlas-table"), ("a\\0b", "names a path that can be none"), ("~x/y", "home directory")],
)
def test_paths_in_settings_that_can_be_none_are_told(run, data, out, tmp_path, path, words):
    (tmp_path / "my.yaml").write_text(f'parcellation: {{atlases: ["{path}"], table: "{path}"}}\n')
    assert_refused(run(data, "--config-file", tmp_path / "my.yaml"), words)
    assert not out.exists()
