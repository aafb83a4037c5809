"""Real runs, from region series of another tool: killed, resumed, repeated, interrupted, failed; and the exit codes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bids_ai.bids.files import read_json
from bids_ai.bids.tables import read_relmat, read_table, read_timeseries
from bids_ai.stages.plan import STAGES
from tests.conftest import Answer, call_bids_ai, listing, subject_files, write_tree

from .conftest import QUICK, job_counts

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

SERIES = "sub-01/func/sub-01_task-rest_space-MNI152NLin2009cAsym"
REGIONS = {"A": 4, "B": 3}


def autoregressive(n_regions: int, seed: int) -> np.ndarray:
    """Series of a stable linear system, (80, n_regions)."""
    rng = np.random.default_rng(seed)
    coupling = 0.5 * np.eye(n_regions) + 0.3 * np.eye(n_regions, k=1)
    series = np.zeros((180, n_regions))
    for t in range(1, 180):
        series[t] = series[t - 1] @ coupling + rng.normal(size=n_regions)
    return series[100:]


def as_table(series: np.ndarray) -> str:
    header = "\t".join(f"R{number}" for number in range(1, series.shape[1] + 1))
    return "\n".join([header, *("\t".join(f"{value:.6f}" for value in row) for row in series)]) + "\n"


@pytest.fixture(scope="module")
def xcpd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What XCP-D leaves: sub-01 in two atlases, and sub-02, whose series do not vary."""
    files = {"dataset_description.json": {"Name": "XCP-D & <b>Söhne</b>", "BIDSVersion": "1.4.0"}}
    for atlas, n_regions in REGIONS.items():
        stem = f"{SERIES}_seg-{atlas}_stat-mean_timeseries"
        files |= {f"{stem}.tsv": as_table(autoregressive(n_regions, n_regions)), f"{stem}.json": {"RepetitionTime": 2}}
    stem = f"{SERIES}_seg-A_stat-mean_timeseries".replace("01", "02")
    files |= {f"{stem}.tsv": as_table(np.ones((80, 4))), f"{stem}.json": {"RepetitionTime": 2}}
    return write_tree(tmp_path_factory.mktemp("other tool") / "xcp d", files)


def arguments(xcpd: Path, folder: Path, *options: object, label: str = "01") -> list[object]:
    places = ["run", "-", folder / "out", "participant", "-w", folder / "work", "-d", f"xcpd={xcpd}"]
    return [*places, "--participant-label", label, "--nprocs", 2, *QUICK, *options]


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start ``bids-ai`` in a process group of its own, which ends with the test."""
    running = []

    def start(*call: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "bids_ai", *(str(word) for word in call)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(os.environ) | {"OMP_NUM_THREADS": "1"},
            start_new_session=True,
            # A parent in the background may have passed on that interrupts are ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        running.append(process)
        return process

    yield start
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come within {seconds:g} s")
        time.sleep(0.1)


def processes_of(folder: Path) -> list[str]:
    """Command lines of living processes that name a folder."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in words and file.parent.name != str(os.getpid()):
            found.append(words)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a name in which a shell, Snakemake or a glob would find something to do."""
    return tmp_path_factory.mktemp("runs") / "Läufe [1]; touch 'a' \"b\" $(touch pwned) `touch pwned` & # *"


def test_a_killed_run_leaves_no_job_and_no_half_file(xcpd, folder, started):
    process = started(*arguments(xcpd, folder))
    wait_for(lambda: list((folder / "out").rglob("*_timeseries.tsv")), 120, "the first region series")
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=10)
    wait_for(lambda: not processes_of(folder / "work"), 20, "the end of the jobs of a killed run")
    # What is there is whole: a table that can be read, with its sidecar.
    for path in (folder / "out").rglob("*_timeseries.tsv"):
        assert len(read_timeseries(path)[0]) == 80
        assert path.with_suffix(".json").is_file()
    assert not list((folder / "out").glob("sub-01.html"))


@pytest.fixture(scope="module")
def finished(xcpd: Path, folder: Path) -> Answer:
    """The same command again, after the kill."""
    return call_bids_ai(*arguments(xcpd, folder), timeout=400)


def test_the_same_command_finishes(finished, folder):
    assert finished.code == 0, finished.text
    assert finished.out.splitlines()[-1] == f"report: {folder / 'out' / 'sub-01.html'}"
    assert "1 recording(s)," not in finished.err  # two tables of one run: two recordings
    assert "2 recording(s), 0 diffusion series, 0 failed job(s), 0 left out for a fault." in finished.err
    assert "<b>Söhne" not in (folder / "out/sub-01.html").read_text(encoding="utf-8")


def test_nothing_in_the_name_of_the_folder_was_run(finished, folder):
    assert finished.code == 0
    assert not [path for path in folder.parent.rglob("*") if path.name in ("pwned", "a", "b")]
    assert not [path for path in (Path("pwned"), Path("a"), Path("b")) if path.exists()]


def test_progress_names_stage_subject_and_share(finished):
    assert "jobs] effective_connectivity   sub-01_task-rest_space-MNI152NLin2009cAsym" in finished.err
    assert "jobs] done" in finished.err


@pytest.mark.parametrize("atlas", list(REGIONS))
def test_every_atlas_has_its_own_series(finished, xcpd, folder, atlas):
    assert finished.code == 0
    given = autoregressive(REGIONS[atlas], REGIONS[atlas])
    base = folder / "out" / f"{SERIES}_atlas-{atlas}"
    series, names = read_timeseries(Path(f"{base}_stat-mean_timeseries.tsv"))
    assert names == [f"R{number}" for number in range(1, REGIONS[atlas] + 1)]
    np.testing.assert_allclose(series, given, atol=1e-6)
    correlation, columns = read_relmat(Path(f"{base}_stat-pearsoncorrelation_relmat.tsv"))
    assert columns == names
    off = ~np.eye(len(names), dtype=bool)
    np.testing.assert_allclose(correlation[off], np.corrcoef(given.T)[off], atol=1e-5)
    effect, _ = read_relmat(Path(f"{base}_model-auto_stat-effectiveconnectivity_relmat.tsv"))
    assert np.isnan(np.diag(effect)).all()
    assert np.isfinite(effect[off]).all()
    # Region k drives region k + 1, and never the other way: row = source.
    forward, backward = np.diag(effect, 1), np.diag(effect, -1)
    assert forward.min() > np.abs(backward).max()
    assert list(read_table(folder / "out" / f"atlas-{atlas}_dseg.tsv")["name"]) == names


def test_where_it_came_from_is_in_the_sidecars(finished, folder):
    assert finished.code == 0
    sidecar = read_json(folder / "out" / f"{SERIES}_atlas-A_stat-mean_timeseries.json")
    assert sidecar["Sources"] == [f"bids:xcpd:{SERIES}_seg-A_stat-mean_timeseries.tsv"]
    surrogate = read_json(folder / "out" / f"{SERIES}_atlas-A_model-auto_surrogate.json")
    assert surrogate["Status"] == "fitted"
    assert surrogate["Sources"] == [f"bids::{SERIES}_atlas-A_stat-mean_timeseries.tsv"]


def test_a_repeated_run_does_nothing(finished, xcpd, folder):
    assert finished.code == 0
    before = {path: path.stat().st_mtime_ns for path in (folder / "out/sub-01").rglob("*")}
    answer = call_bids_ai(*arguments(xcpd, folder))
    assert answer.code == 0, answer.text
    logs = sorted((folder / "out/logs").glob("*/snakemake.log"))
    assert "Nothing to be done" in logs[-1].read_text()
    assert {path: path.stat().st_mtime_ns for path in (folder / "out/sub-01").rglob("*")} == before


@pytest.mark.parametrize(
    ("settings", "again"),
    [
        (
            "effective_connectivity: {push_sd: 0.5}\nfunctional_connectivity: {shrinkage: oas}",
            {"functional_connectivity": 2, "effective_connectivity": 2},
        ),
        (
            "surrogate: {order_max: 1}\nanat: {skullstrip: none}",
            {"surrogate_fit": 2, "surrogate": 2, "effective_connectivity": 2},
        ),
    ],
)
def test_a_changed_setting_makes_again_what_depends_on_it(finished, xcpd, folder, tmp_path, settings, again):
    assert finished.code == 0
    (tmp_path / "my.yaml").write_text(settings)
    answer = call_bids_ai(*arguments(xcpd, folder, "--config-file", tmp_path / "my.yaml", "--dry-run"))
    assert answer.code == 0, answer.text
    assert job_counts(answer) == again


def test_reports_can_be_made_alone(finished, xcpd, folder):
    assert finished.code == 0
    page = folder / "out/sub-01.html"
    page.unlink()
    answer = call_bids_ai(*arguments(xcpd, folder, "--reports-only"))
    assert answer.code == 0, answer.text
    assert page.is_file()
    (folder / "out/group.html").unlink(missing_ok=True)
    answer = call_bids_ai("run", "-", folder / "out", "group")
    assert answer.code == 0, answer.text
    assert Path(answer.out.strip()).is_file()


@pytest.mark.parametrize("how", ["Ctrl-C", "terminated"])
def test_an_interrupted_run_says_so_and_leaves_a_report(xcpd, tmp_path, started, how):
    process = started(*arguments(xcpd, tmp_path))
    assert process.stderr
    for line in process.stderr:
        if "jobs] " in line:
            break
    # While a job runs that would take longer than anyone waits. A terminal interrupts the whole group; the engine of
    # a container, and a cluster, terminate the one process that they started.
    if how == "Ctrl-C":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert (tmp_path / "out/sub-01.html").is_file()
    assert "FAILED" not in err
    assert "interrupted; the same command goes on where this one stopped" in err
    wait_for(lambda: not processes_of(tmp_path / "work"), 20, "the end of the jobs of an interrupted run")


def test_a_recording_that_cannot_be_fitted_is_told_of(xcpd, tmp_path):
    """The others would go on; the exit code and the summary say that this one did not."""
    answer = call_bids_ai(*arguments(xcpd, tmp_path, "--stages", "ec", label="02"), timeout=400)
    assert answer.code == 1, answer.text
    path = tmp_path / "out" / f"{SERIES}_atlas-A_model-auto_surrogate.json".replace("01", "02")
    description = read_json(path)
    assert description["Status"] == "failed"
    assert description["Reason"] in answer.err
    effect, _ = read_relmat(
        path.with_name(path.name.replace("surrogate.json", "stat-effectiveconnectivity_relmat.tsv"))
    )
    assert np.isnan(effect).all()


# ---- exit codes


def test_faults_of_some_recordings_end_in_1_and_in_the_report(make_dataset, tmp_path, shared_work):
    """Snakemake only plans here; what was left out is known before."""
    data = make_dataset(subject_files("01") | subject_files("02", tr=None))
    out = tmp_path / "out"
    answer = call_bids_ai("run", data, out, "participant", "-w", shared_work, *QUICK, "--", "--dry-run")
    assert answer.code == 1, answer.text
    assert "LEFT OUT  sub-02 sub-02_task-rest_bold.nii.gz: " in answer.err
    assert "1 left out for a fault" in answer.err
    page = (out / "sub-02.html").read_text(encoding="utf-8")
    assert "no RepetitionTime in its JSON sidecar" in page


def test_a_plan_that_snakemake_refuses_ends_in_1_and_points_to_its_log(make_dataset, tmp_path, shared_work):
    data = make_dataset(subject_files("01"))
    call = ["run", data, tmp_path / "out", "participant", "-w", shared_work, *QUICK, "--", "no_such_file"]
    answer = call_bids_ai(*call)
    assert answer.code == 1, answer.text
    assert "Snakemake ended with an error; see" in answer.err


def test_a_second_run_over_the_same_subject_ends_in_2(make_dataset, tmp_path, run_cli, shared_work):
    from bids_ai.cli.locks import lock_subjects

    data, out = make_dataset(subject_files("01")), tmp_path / "out"
    with lock_subjects(out, ["sub-01"]):
        before = listing(out)
        answer = run_cli("run", data, out, "participant", "-w", shared_work, *QUICK, "--", "--dry-run")
        assert answer.code == 2
        assert "Another run is working on sub-01" in answer.err
        assert listing(out) == before


def test_the_group_level_needs_outputs(run_cli, make_dataset, tmp_path):
    answer = run_cli("run", make_dataset({}), tmp_path / "out", "group")
    assert answer.code == 2
    assert "holds no outputs of bids_ai; run the participant level first" in answer.err
    assert not (tmp_path / "out").exists()


# ---- options that must not lose or repeat work


def test_a_refused_call_does_not_empty_the_work_folder(run_cli, make_dataset, tmp_path):
    work = tmp_path / "work"
    (work / "runs/earlier").mkdir(parents=True)
    (work / "hours_of_work").touch()
    data = make_dataset(subject_files("01"))
    answer = run_cli("run", data, data, "participant", "-w", work, *QUICK, "--clean-workdir")
    assert answer.code == 2
    assert (work / "hours_of_work").is_file()


def test_a_folder_that_is_not_a_work_folder_is_never_emptied(make_dataset, new_work, tmp_path):
    """Many a project has a folder called runs."""
    precious = new_work("home") / "runs/experiment1/model.pt"
    precious.parent.mkdir(parents=True)
    precious.write_text("x")
    data = make_dataset(subject_files("01"))
    options = ["-w", tmp_path / "home", *QUICK, "--clean-workdir", "--stages", "anat", "--", "--dry-run"]
    answer = call_bids_ai("run", data, tmp_path / "out", "participant", *options)
    assert answer.code == 0, answer.text
    assert precious.is_file()


@pytest.mark.parametrize(
    "options",
    [
        ["--skip", *STAGES],
        ["--anat-only", "--skip", "anat"],
        ["--anat-only", "--stages", "fc"],
    ],
)
def test_options_that_contradict_each_other_are_refused(run_cli, make_dataset, tmp_path, shared_work, options):
    """No stage left must not mean all stages."""
    data, out = make_dataset(subject_files("01")), tmp_path / "out"
    answer = run_cli("run", data, out, "participant", "-w", shared_work, *QUICK, *options, "--", "--dry-run")
    assert answer.code == 2, answer.text
    assert not out.exists()


def test_outputs_in_derivatives_need_no_work_dir(run_cli, make_dataset):
    data = make_dataset(subject_files("01"), name="study/raw")
    answer = run_cli("index", data, data / "derivatives/bids_ai", *QUICK, "--anat-only")
    assert answer.code == 0, answer.text
    assert list((data.parent / "bids_ai_work").glob("*/runs"))


def test_index_names_what_is_left_out(run_cli, make_dataset, tmp_path, new_work):
    data = make_dataset(subject_files("01") | subject_files("02", tr=0) | {"sub-03_old/x": None})
    answer = run_cli("index", data, tmp_path / "out", "-w", new_work(), *QUICK)
    assert answer.code == 0, answer.text
    assert "sub-02  LEFT OUT  sub-02_task-rest_bold.nii.gz: " in answer.text
    assert "sub-03_old" in answer.text
