"""What a dry run plans, for datasets of several shapes."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from bids_ai.bids.files import read_json
from bids_ai.config import read_yaml
from bids_ai.stages.plan import STAGES, Plan, stages_of
from tests.conftest import call_bids_ai, call_program, subject_files, write_tree

from .conftest import QUICK, job_counts

workflow = pytest.mark.workflow

SPACE = "space-MNI152NLin2009aSym"
XCPD_ROWS = "\n".join(f"{n % 5}\t{n % 3}" for n in range(20))


def jobs(anat: int, bold: int, fits: int, *, atlases: int = 1, batches: int = 1) -> dict[str, int]:
    """Jobs by rule: one per T1w, per run, per run and atlas, per fit and atlas."""
    counts = {
        "anat_preprocess": anat,
        "bold_preprocess": bold,
        "atlas": atlases,
        "region_timeseries": bold * atlases,
        "functional_connectivity": bold * atlases,
        "surrogate_fit": batches * atlases,
        "surrogate": fits * atlases,
        "effective_connectivity": fits * atlases,
    }
    return counts


@workflow
def test_with_sessions_all_visits_are_also_fitted_together(planned, empty_dataset):
    assert planned(empty_dataset(1, 2)) == jobs(anat=1, bold=2, fits=3)


@workflow
def test_ragged_subjects_two_tasks_two_atlases(planned, empty_dataset, small_atlas):
    """By subject: all; no T1w; one run less a task; one session less; one task less."""
    bold = 8 + 0 + 6 + 4 + 4
    pooled = 2 + 0 + 2 + 2 + 1
    data = empty_dataset(5, 2, 2, True, tasks=("nback", "rest"))
    expected = jobs(anat=4, bold=bold, fits=bold + pooled, atlases=2, batches=2)
    assert planned(data, "--atlases", "EqualVolume:20", small_atlas) == expected


def dwi_files(label: str) -> dict[str, object]:
    stem = f"sub-{label}/dwi/sub-{label}_dwi"
    directions = np.random.default_rng(0).standard_normal((3, 9))
    rows = directions / np.linalg.norm(directions, axis=0)
    bvec = "\n".join("0 " + " ".join(f"{value:.6f}" for value in row) for row in rows)
    return {f"{stem}.nii.gz": (8, 8, 8, 10), f"{stem}.bval": "0 " + "1000 " * 9, f"{stem}.bvec": bvec}


@workflow
def test_dwi_of_some_subjects(planned, make_dataset, small_atlas):
    """All; no DWI; DWI alone."""
    data = make_dataset(subject_files("01") | dwi_files("01") | subject_files("02") | dwi_files("03"))
    expected = jobs(anat=2, bold=2, fits=2, atlases=2)
    expected |= {"dwi_preprocess": 2, "tractography": 2, "structural_connectivity": 4}
    assert planned(data, "--atlases", "EqualVolume:20", small_atlas) == expected
    # The models are given the structural connectivity: it is made for them too, unless it is not wanted.
    only = ("--stages", "surrogate", "--atlases", small_atlas)
    counts = planned(data, *only)
    assert (counts["structural_connectivity"], counts["surrogate_fit"]) == (1, 1)
    assert "functional_connectivity" not in counts
    assert "dwi_preprocess" not in planned(data, "--skip", "dwi", "sc")


def signal_files(label: str, kind: str, task: str, *, space: str = "ScanRAS", pulses: int = 0) -> dict[str, object]:
    """An EEG or iEEG recording that is planned, not read."""
    stem = f"sub-{label}/{kind}/sub-{label}_task-{task}"
    prefix = "EEG" if kind == "eeg" else "iEEG"
    frame = {f"{prefix}CoordinateSystem": "CapTrak" if kind == "eeg" else space, f"{prefix}CoordinateUnits": "mm"}
    rows = ["onset\tduration\ttrial_type\telectrical_stimulation_site"]
    rows += [f"{5 * n}\t0.001\telectrical_stimulation\tA1-A2" for n in range(pulses)] or ["1\t1\teyes\tn/a"]
    return {
        f"{stem}_{kind}.vhdr": "Brain Vision Data Exchange Header File Version 1.0",
        f"{stem}_{kind}.json": {"TaskName": task, "SamplingFrequency": 512, "PowerLineFrequency": 50},
        f"{stem}_channels.tsv": f"name\ttype\tunits\nA1\t{'EEG' if kind == 'eeg' else 'SEEG'}\tuV\n",
        f"{stem}_events.tsv": "\n".join(rows),
        f"sub-{label}/{kind}/sub-{label}_electrodes.tsv": "name\tx\ty\tz\nA1\t20\t30\t40\n",
        f"sub-{label}/{kind}/sub-{label}_coordsystem.json": frame,
    }


def electric(*, eeg: int = 0, ieeg: int = 0, stimulated: int = 0, located: int = 0, anat: int = 0) -> dict[str, int]:
    """Jobs by rule of a dataset without images but T1w, one atlas; of each modality one batch."""
    series = eeg + located
    counts = {
        "anat_preprocess": anat,
        "atlas": 1 if series else 0,
        "eeg_preprocess": eeg,
        "ieeg_preprocess": ieeg,
        "ephys_timeseries": series,
        "functional_connectivity": series,
        "spectral_connectivity": series,
        "surrogate_fit": bool(eeg) + bool(located),
        "surrogate": series,
        "effective_connectivity": series,
        "ccep_features": stimulated,
    }
    return {rule: int(count) for rule, count in counts.items() if count}


@workflow
def test_eeg_and_seeg_of_some_subjects(planned, make_dataset):
    """EEG alone; SEEG with T1w, at rest and stimulated; SEEG whose frame is not known: channels are all it has."""
    t1w = {"sub-02/anat/sub-02_T1w.nii.gz": (8, 8, 8)}
    seeg = signal_files("02", "ieeg", "rest") | signal_files("02", "ieeg", "spes", pulses=8)
    lost = signal_files("03", "ieeg", "spes", space="Other", pulses=8)
    data = make_dataset(signal_files("01", "eeg", "rest") | t1w | seeg | lost)
    # A task label does not make a recording one of stimulation.
    # Without a frame there are distances and signals, of which responses are predicted as well.
    located = {"ccep_regions": 1, "contact_model": 2, "ccep_predict": 2}
    assert planned(data) == electric(eeg=1, ieeg=3, stimulated=2, located=2, anat=1) | located
    only = electric(ieeg=2, stimulated=2, anat=1) | {"ccep_regions": 1, "atlas": 1}
    assert planned(data, "--stages", "ccep") == only
    assert planned(data, "--skip", "ieeg") == electric(eeg=1, anat=1)
    assert planned(data, "--skip", "eeg", "ieeg") == {"anat_preprocess": 1}


@workflow
def test_responses_of_contacts_without_a_place_want_no_regions(planned, make_dataset):
    """Without a frame distances are left; without coordinates nothing is, and nothing is predicted."""
    lost = signal_files("01", "ieeg", "spes", space="Other", pulses=8)
    data = make_dataset(subject_files("01") | lost)
    only = {"ieeg_preprocess": 1, "ccep_features": 1, "contact_model": 1, "ccep_predict": 1, "atlas": 1}
    assert planned(data, "--stages", "prediction") == only
    [electrodes] = data.rglob("*_electrodes.tsv")
    electrodes.unlink()
    assert planned(data, "--stages", "prediction") == {}


@workflow
def test_the_command_of_stimulation_looks_at_nothing_else(make_dataset, tmp_path, shared_work):
    seeg = signal_files("01", "ieeg", "rest") | signal_files("01", "ieeg", "spes", space="Other", pulses=8)
    data = make_dataset(subject_files("01") | seeg)
    answer = call_bids_ai("ccep", data, tmp_path / "out", "-w", shared_work, *QUICK, "--preset", "crp", "--dry-run")
    assert answer.code == 0, answer.text
    assert job_counts(answer) == {"ieeg_preprocess": 1, "ccep_features": 1}
    assert "iEEG with stimulation" in answer.text
    assert "BOLD" not in answer.text


@workflow
def test_series_of_another_tool_need_no_anatomy(planned, tmp_path):
    files = {"dataset_description.json": {"Name": "XCP-D", "BIDSVersion": "1.4.0"}}
    for run in (1, 2):
        for atlas in ("Tian", "Glasser"):
            stem = f"sub-01/func/sub-01_task-rest_run-{run}_space-MNI152NLin6Asym_seg-{atlas}_stat-mean_timeseries"
            files |= {f"{stem}.tsv": f"A\tB\n{XCPD_ROWS}\n", f"{stem}.json": {"RepetitionTime": 2}}
    root = write_tree(tmp_path / "xcpd", files)
    expected = jobs(anat=0, bold=2, fits=3, atlases=2)
    assert planned("-", "-d", f"xcpd={root}") == {
        rule: count for rule, count in expected.items() if rule not in ("anat_preprocess", "bold_preprocess")
    }


@workflow
def test_the_inputs_chosen_are_printed_and_left_out_ones_named(make_dataset, tmp_path, new_work):
    """Without sessions, in folders whose names hold spaces, other letters, and signs that shells and patterns read."""
    data = make_dataset(subject_files("01") | subject_files("02", tr=None), name="Dä ta [a-z]* & 'x' $HOME")
    work = new_work("Wörk $x 'y'")
    out = tmp_path / "Out [1] é"
    answer = call_bids_ai("run", data, out, "participant", "-w", work, *QUICK, "--dry-run")
    assert answer.code == 0, answer.text
    assert f"sub-01  T1w  {data}/sub-01/anat/sub-01_T1w.nii.gz" in answer.out
    assert f"sub-01  BOLD  {data}/sub-01/func/sub-01_task-rest_bold.nii.gz  TR 2 s" in answer.out
    assert "sub-02  LEFT OUT  sub-02_task-rest_bold.nii.gz: " in answer.out
    assert job_counts(answer) == jobs(anat=2, bold=1, fits=1)
    assert not out.exists()


# ---- snakemake by hand


@pytest.fixture
def indexed(run_cli, empty_dataset, tmp_path, new_work):
    """An index made by ``bids-ai index`` in folders with spaces, and what it printed."""
    work = new_work("my work")
    answer = run_cli("index", empty_dataset(2, None, 2, name="my data"), tmp_path / "my out", "-w", work, *QUICK)
    assert answer.code == 0, answer.text
    [config] = (work / "runs").glob("*/config.yaml")
    return config, answer.out


@workflow
def test_the_printed_command_plans_the_same(indexed):
    _, printed = indexed
    command = printed[printed.index("  snakemake ") :].strip()
    answer = call_program("bash", "-c", f"{command} --dry-run --quiet rules", env=own_programs())
    assert answer.code == 0, answer.text
    assert job_counts(answer) == jobs(anat=2, bold=4, fits=6)


#: Findings of the linter that stand, each for a reason.
JUSTIFIED = {
    # One image holds every tool, and the rules run inside it; on a workstation the tools come from pip.
    "Specify a conda environment or container for each rule.",
    # The configuration of a run lies in a folder of that run. As a parameter its path would make every file again at
    # each start; what of its content decides is a parameter.
    "Shell command directly uses variable run_config from outside of the rule",
}


@workflow
def test_the_workflow_has_no_lint(indexed):
    config, _ = indexed
    command = ["snakemake", "--lint", "--snakefile", workflow_file(), "--configfile", config]
    answer = call_program(*command, cwd=config.parent, env=own_programs())
    found = re.findall(r"^    \* (.*?):?$", answer.text, re.MULTILINE)
    assert found or "Congratulations" in answer.text, answer.text
    assert set(found) <= JUSTIFIED


@workflow
def test_without_an_index_snakemake_says_what_is_missing(tmp_path):
    answer = call_program("snakemake", "--snakefile", workflow_file(), "-n", cwd=tmp_path, env=own_programs())
    assert answer.code != 0
    assert "lacks output_dir, work_dir, run_dir" in answer.text
    assert "bids-ai index BIDS_DIR OUTPUT_DIR" in answer.text


@workflow
def test_an_unknown_setting_is_refused_by_snakemake_too(indexed):
    config, _ = indexed
    config.write_text(config.read_text() + "parcelation: {}\n")
    command = ["snakemake", "--snakefile", workflow_file(), "--configfile", config, "-n"]
    answer = call_program(*command, cwd=config.parent, env=own_programs())
    assert answer.code != 0
    assert "parcelation" in answer.text


def own_programs() -> dict[str, str]:
    """Environment in which `snakemake` and `bids-ai` are those of this installation."""
    from bids_ai.cli.engine import environment

    return {"PATH": environment()["PATH"]}


def workflow_file() -> str:
    from bids_ai.cli.engine import workflow_dir

    return str(workflow_dir() / "Snakefile")


# ---- lookups of the plan, without Snakemake


@pytest.fixture
def plan(indexed) -> Plan:
    config, _ = indexed
    return Plan(read_yaml(config))


def test_targets_by_stage(plan):
    counts = {stage: len(plan.targets(stage)) for stage in STAGES}
    none = dict.fromkeys(("dwi", "sc", "eeg", "ieeg", "ccep", "prediction"), 0)
    assert counts == none | {"anat": 2, "func": 4, "timeseries": 4, "fc": 4, "surrogate": 6, "ec": 6}
    assert len(plan.targets()) == 26
    assert plan.targets("fc,anat") == plan.targets("anat") + plan.targets("fc")
    assert plan.targets("anat")[0].endswith(
        "/my out/sub-001/anat/sub-001_from-T1w_to-MNI152NLin2009aSym_mode-image_xfm.h5"
    )


def test_stages_are_in_the_order_of_the_data():
    assert stages_of("ec, anat func") == ["anat", "func", "ec"]
    assert stages_of("") == list(STAGES)


def test_settings_that_decide_are_free_of_what_changes_from_run_to_run(plan, indexed):
    """Params with a time, a process number or a temporary path would make everything again at each start."""
    config, _ = indexed
    texts = [plan.setting(section) for section in ("anat", "func", "parcellation", "surrogate")]
    for text in texts:
        assert config.parent.name not in text
        assert "random_seed" in text or "20260101" in text
    assert plan.setting("func") != plan.setting("anat")


def test_series_of_several_atlases_are_read_from_their_own_tables(run_cli, tmp_path):
    files = {"dataset_description.json": {"Name": "XCP-D", "BIDSVersion": "1.4.0"}}
    for atlas in ("A", "B"):
        stem = f"sub-01/func/sub-01_task-rest_seg-{atlas}_stat-mean_timeseries"
        files |= {f"{stem}.tsv": f"A\tB\n{XCPD_ROWS}\n", f"{stem}.json": {"RepetitionTime": 2}}
    root = write_tree(tmp_path / "xcpd", files)
    work = tmp_path / "work"
    answer = run_cli("index", "-", tmp_path / "out", "-w", work, *QUICK, "-d", f"xcpd={root}")
    assert answer.code == 0, answer.text
    [config] = (work / "runs").glob("*/config.yaml")
    plan = Plan(read_yaml(config))
    for atlas in ("A", "B"):
        wildcards = SimpleNamespace(series="sub-01/func/sub-01_task-rest", atlas=f"atlas-{atlas}")
        assert plan.bold_of_series(wildcards).endswith(f"_seg-{atlas}_stat-mean_timeseries.tsv")


def test_the_index_lists_what_the_plan_asks_for(plan, indexed):
    config, _ = indexed
    index = read_json(config.with_name("index.json"))
    assert index["recordings"][0]["item"] == "sub-001/func/sub-001_task-rest_run-1"
    fits = {(fit["series"], fit["pooled"]) for fit in index["fits"]}
    assert (f"sub-001/func/sub-001_task-rest_{SPACE}", True) in fits
    wildcards = SimpleNamespace(
        series=f"sub-001/func/sub-001_task-rest_{SPACE}", pool="_desc-pooled", atlas="atlas-EqualVolume_scale-20"
    )
    assert len(plan.series_of_fit(wildcards)) == 2
