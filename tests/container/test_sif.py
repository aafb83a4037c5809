"""The same image as a SIF: run as a whole, for every job of a workflow outside of it, and images of other tools."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_ai import __version__
from bids_ai.bids.tables import read_relmat
from tests.conftest import call_bids_ai
from tests.container.conftest import IMAGE, SIF, content, ended

pytestmark = pytest.mark.skipif(not SIF, reason="there is no Apptainer here, and none could be installed")

QUICK = ("--skip-bids-validation", "--sloppy", "--atlases", "EqualVolume:12", "--nprocs", "2")


def same_numbers(one: Path, other: Path) -> int:
    """Compare every matrix of two outputs; how many there are."""
    names = sorted(path.relative_to(one) for path in one.rglob("*_relmat.tsv") if path.parent.name != "dwi")
    for name in names:
        np.testing.assert_array_equal(read_relmat(one / name)[0], read_relmat(other / name)[0], err_msg=str(name))
    return len(names)


def test_it_runs_as_a_bids_app(cohort, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    before = content(cohort)
    binds = ["--bind", f"{cohort}:/data:ro", "--bind", f"{out}:/out"]
    call = ["apptainer", "run", "--cleanenv", *binds, SIF, "/data", "/out", "participant", "--stages", "fc", *QUICK]
    done = ended(call)
    assert done.code == 0, done.text
    assert "report: /out/sub-01.html" in done.out
    assert content(cohort) == before
    container = json.loads((out / "dataset_description.json").read_text())["GeneratedBy"][0]["Container"]
    assert container == {"Type": "apptainer", "Tag": f"bids-ai:{__version__}"}


def test_every_job_of_a_workflow_outside_runs_in_it(cohort, tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    call = ("participant", "--stages", "ec", "--skip", "dwi", *QUICK)
    done = call_bids_ai("run", cohort, inside, *call, "--container", SIF, timeout=900)
    assert done.code == 0, done.text
    log = next((inside / "logs").glob("*/snakemake.log")).read_text()
    assert log.count("Activating singularity image") >= 5
    container = json.loads((inside / "dataset_description.json").read_text())["GeneratedBy"][0]["Container"]
    assert (container["Type"], container["Tag"]) == ("apptainer", Path(SIF).name)
    assert container["Digest"].startswith("sha256:")
    done = call_bids_ai("run", cohort, outside, *call, "-w", tmp_path / "other", timeout=900)
    assert done.code == 0, done.text
    assert same_numbers(inside, outside) >= 3


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unpacked image with a program `fmriprep` that leaves what was prepared, or fails for one subject."""
    folder = tmp_path_factory.mktemp("image") / "rootfs"
    folder.mkdir()
    base = ended(["podman", "create", os.environ.get("BIDS_AI_TEST_BASE", IMAGE), "true"]).out.strip()
    export = subprocess.Popen(["podman", "export", base], stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", str(folder), "--exclude=opt/*"], stdin=export.stdout, check=True)
    export.wait(timeout=60)
    ended(["podman", "rm", base])
    program = folder / "usr" / "local" / "bin" / "fmriprep"
    program.write_text(
        "#!/bin/sh\nset -eu\n"
        'echo "$@"; test -n "$TEMPLATEFLOW_HOME"\n'
        'if [ "$5" = 02 ]; then echo "no T1w that could be used" >&2; exit 1; fi\n'
        'cp -r "$1/sourcedata/prepared/." "$2/"; echo "<html></html>" > "$2/sub-$5.html"\n'
    )
    program.chmod(0o755)
    return folder


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A dataset of two subjects, and what fMRIPrep would make of the first."""
    data = tmp_path / "data"
    rng = np.random.default_rng(5)
    affine = np.diag([8.0, 8.0, 8.0, 1.0])
    affine[:3, 3] = [-90, -126, -72]
    bold = nib.Nifti1Image(rng.normal(100, 1, (23, 27, 23, 60)).astype(np.float32), affine)
    for label in ("01", "02"):
        path = data / f"sub-{label}" / "func" / f"sub-{label}_task-rest_bold.nii.gz"
        path.parent.mkdir(parents=True)
        nib.save(bold, path)
    (data / "task-rest_bold.json").write_text('{"RepetitionTime": 2, "TaskName": "rest"}')
    (data / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    made = data / "sourcedata" / "prepared" / "sub-01" / "func"
    made.mkdir(parents=True)
    stem = "sub-01_task-rest"
    space = f"{stem}_space-MNI152NLin2009cAsym_res-2_desc"
    nib.save(bold, made / f"{space}-preproc_bold.nii.gz")
    nib.save(nib.Nifti1Image(np.ones((23, 27, 23), np.uint8), affine), made / f"{space}-brain_mask.nii.gz")
    (made / f"{space}-preproc_bold.json").write_text('{"RepetitionTime": 2, "SkullStripped": false}')
    names = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z", "framewise_displacement"]
    rows = ["\t".join(names), *("\t".join(f"{value:.4f}" for value in row) for row in 0.01 * rng.random((60, 7)))]
    (made / f"{stem}_desc-confounds_timeseries.tsv").write_text("\n".join(rows))
    description = {"Name": "fMRIPrep", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}
    description["GeneratedBy"] = [{"Name": "fMRIPrep"}]
    (made.parents[1] / "dataset_description.json").write_text(json.dumps(description))
    return data


def test_another_tool_preprocesses_in_its_image_and_the_run_goes_on(rootfs, prepared, tmp_path):
    (tmp_path / "license.txt").write_text("of FreeSurfer")
    (tmp_path / "my.yaml").write_text("func: {confounds: 6p, high_pass_hz: 0}\n")
    out = tmp_path / "derivatives" / "bids_ai"
    options = ["--nipreps", f"fmriprep={rootfs}", "--fs-license-file", tmp_path / "license.txt"]
    options += ["--config-file", tmp_path / "my.yaml", "--skip-bids-validation"]
    call = ["run", prepared, out, "participant", "--stages", "fc", "--atlases", "EqualVolume:8", *options]
    done = call_bids_ai(*call, timeout=600)
    # One subject of two failed, the other went on; the exit code, the message and the outputs agree.
    assert done.code == 1, done.text
    assert "FAILED  fmriprep sub-02" in done.err
    assert (tmp_path / "derivatives" / "fmriprep" / "sub-01.html").is_file()
    assert not (tmp_path / "derivatives" / "fmriprep" / "sub-02.html").exists()
    assert list((out / "sub-01" / "func").glob("*_stat-pearsoncorrelation_relmat.tsv"))
    assert not (out / "sub-02").exists()
    assert (out / "sub-01.html").is_file()
