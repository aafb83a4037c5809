"""Jobs of the official images: which subjects, which commands. That the images run is tested in tests/container."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from bids_ai.bids.dataset import Selection
from bids_ai.cli.nipreps import _filters
from tests.conftest import Answer, call_bids_ai

FMRIPREP, QSIPREP = "docker://nipreps/fmriprep:25.2.5", "docker://pennlinc/qsiprep:1.0.0"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two subjects: one with BOLD and DWI, one with BOLD in two sessions; nothing in the files."""
    root = tmp_path / "da ta"
    names = ["sub-01/anat/sub-01_T1w", "sub-01/func/sub-01_task-rest_bold", "sub-01/dwi/sub-01_dwi"]
    names += [f"sub-02/ses-{n}/func/sub-02_ses-{n}_task-rest_bold" for n in (1, 2)]
    for name in names:
        (root / f"{name}.nii.gz").parent.mkdir(parents=True, exist_ok=True)
        (root / f"{name}.nii.gz").touch()
    (root / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.9.0"}))
    (tmp_path / "license.txt").write_text("of FreeSurfer")
    return root


@pytest.fixture
def planned(data: Path, tmp_path: Path, shared_work: Path):
    """Plan with a program in the place of Apptainer that says its version, which is all that a dry run asks of it."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "apptainer").write_text("#!/bin/sh\necho apptainer version 1.4.5\n")
    (programs / "apptainer").chmod(0o755)

    def plan(*options: object, licence: bool = True, path: str = f"{programs}:{os.environ['PATH']}") -> Answer:
        given = ["--fs-license-file", tmp_path / "license.txt"] if licence else []
        call = ["run", data, tmp_path / "out", "participant", *given, "-w", shared_work, "--nprocs", 4, "--dry-run"]
        call += ["--atlases", "EqualVolume:20", "--device", "cpu", *options]
        return call_bids_ai(*call, env={"PATH": path})

    return plan


def commands(answer: Answer) -> list[list[str]]:
    return [shlex.split(line) for line in answer.out.splitlines() if line.startswith("export TEMPLATEFLOW_HOME")]


def test_each_tool_gets_the_subjects_that_have_work_for_it(planned, data, tmp_path):
    answer = planned("--nipreps", f"fmriprep={FMRIPREP}", f"qsiprep={QSIPREP}")
    assert answer.code == 0, answer.text
    calls = [words[2:] for words in commands(answer)]
    assert sorted((call[0], call[call.index("--participant-label") + 1]) for call in calls) == [
        ("fmriprep", "01"),
        ("fmriprep", "02"),
        ("qsiprep", "01"),
    ]
    for call in calls:
        assert call[1:4] == [str(data), str(tmp_path / call[0]), "participant"]
        assert call[call.index("--fs-license-file") + 1].endswith("/license.txt")
        assert call[call.index("--nthreads") + 1] == "4"
        assert {"--notrack", "--skip-bids-validation"} <= set(call)
    assert all("MNI152NLin2009cAsym:res-2" in call for call in calls if call[0] == "fmriprep")
    assert all(call[call.index("--output-resolution") + 1] == "2" for call in calls if call[0] == "qsiprep")
    assert "planned once these 3 are done" in answer.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "da ta", "license.txt"]


def test_what_is_asked_for_is_handed_on(planned):
    answer = planned("--nipreps", f"fmriprep={FMRIPREP}", f"qsiprep={QSIPREP}", "--skip", "dwi", "--omp-nthreads", 2)
    calls = [words[2:] for words in commands(answer)]
    assert {call[0] for call in calls} == {"fmriprep"}
    assert {call[call.index("--nthreads") + 1] for call in calls} == {"2"}
    assert all("--bids-filter-file" in call for call in calls)


@pytest.mark.parametrize(("stages", "tools"), [("fc", ["fmriprep"]), ("sc", ["qsiprep"]), ("anat", [])])
def test_a_tool_runs_where_a_stage_builds_on_it(planned, stages, tools):
    answer = planned("--nipreps", f"fmriprep={FMRIPREP}", f"qsiprep={QSIPREP}", "--stages", stages)
    assert sorted({words[2] for words in commands(answer)}) == tools, answer.text


def test_sessions_tasks_and_runs_become_filters():
    chosen = Selection(sessions=["1"], tasks=["rest"], runs=["2"], filters={"bold": {"acquisition": "mb"}, "t1w": {}})
    assert _filters(chosen) == {
        "t1w": {"session": ["1"]},
        "bold": {"acquisition": "mb", "session": ["1"], "task": ["rest"], "run": [2]},
        "dwi": {"session": ["1"]},
    }
    assert _filters(Selection()) == {}


def test_what_the_run_would_refuse_later_is_refused_now(planned):
    answer = planned("--nipreps", f"fmriprep={FMRIPREP}", "--atlases", "NoSuchAtlas:9")
    assert answer.code == 2, answer.text
    assert "NoSuchAtlas:9" in answer.err


def test_a_subject_that_is_done_is_not_done_again(planned, tmp_path):
    page = tmp_path / "fmriprep" / "sub-01.html"
    page.parent.mkdir()
    page.touch()
    answer = planned("--nipreps", f"fmriprep={FMRIPREP}")
    assert [words[words.index("--participant-label") + 1] for words in commands(answer)] == ["02"]


def test_options_of_the_tool_are_words_and_no_program(planned, tmp_path):
    (tmp_path / "my.yaml").write_text("nipreps: {fmriprep_options: '--ignore slicetiming; touch \"a b\"'}\n")
    answer = planned("--nipreps", f"fmriprep={FMRIPREP}", "--config-file", tmp_path / "my.yaml")
    assert answer.code == 0, answer.text
    assert "--ignore 'slicetiming;' touch 'a b' >" in answer.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--nipreps", "freesurfer=x.sif"], "NAME one of fmriprep, qsiprep"),
        (["--nipreps", "fmriprep=nowhere.sif"], "nowhere.sif does not exist"),
        (["--nipreps", f"fmriprep={FMRIPREP}", "--participant-label", "09"], "09"),
    ],
)
def test_what_is_wrong_is_said_before_the_first_job(planned, options, message):
    answer = planned(*options)
    assert answer.code == 2, answer.text
    assert message in answer.err


def test_the_licence_and_the_program_that_runs_images_are_asked_for(planned, tmp_path):
    answer = planned("--nipreps", f"fmriprep={FMRIPREP}", licence=False)
    assert answer.code == 2, answer.text
    assert "--fs-license-file" in answer.err
    (tmp_path / "nothing").mkdir()
    answer = planned("--nipreps", f"fmriprep={FMRIPREP}", path=str(tmp_path / "nothing"))
    assert answer.code == 2, answer.text
    assert "neither apptainer nor singularity is on PATH" in answer.err
