"""Runs on a real Slurm: the same numbers as on one machine; killed for memory, and lost, a job comes again."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bids_ai.bids.tables import read_relmat
from tests.conftest import Answer, call_bids_ai, write_tree

N_SUBJECTS = 2
#: The plugin looks every 40 s by default, which small jobs would wait for.
OFTEN = (
    "--slurm-init-seconds-before-status-checks",
    "3",
    "--seconds-between-status-checks",
    "5",
    "--latency-wait",
    "5",
)
QUICK = ("--skip-bids-validation", "--device", "cpu", "--model", "ridge-var")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Region series of two subjects, as XCP-D leaves them."""
    rng = np.random.default_rng(3)
    files: dict[str, object] = {"dataset_description.json": {"Name": "x", "BIDSVersion": "1.9.0"}}
    for label in range(1, N_SUBJECTS + 1):
        series = np.zeros((120, 4))
        for t in range(1, 120):
            series[t] = 0.5 * series[t - 1] + rng.standard_normal(4)
            series[t, 1] += 0.5 * series[t - 1, 0]
        stem = f"sub-{label:02}/func/sub-{label:02}_task-rest_space-MNI152NLin2009cAsym_seg-A_stat-mean_timeseries"
        rows = ["a\tb\tc\td", *("\t".join(f"{value:.6f}" for value in row) for row in series)]
        files |= {f"{stem}.tsv": "\n".join(rows) + "\n", f"{stem}.json": {"RepetitionTime": 2}}
    return write_tree(tmp_path_factory.mktemp("data") / "xcpd", files)


def call(data: Path, folder: Path) -> list[object]:
    return ["run", "-", folder / "out", "participant", "-w", folder / "work", "-d", f"xcpd={data}", *QUICK]


def on_the_cluster(data: Path, folder: Path, *options: object, seconds: float = 900) -> Answer:
    return call_bids_ai(*call(data, folder), "--profile", "slurm", "--", "--jobs", 4, *OFTEN, *options, timeout=seconds)


def log_of(folder: Path) -> str:
    return sorted((folder / "out" / "logs").glob("*/snakemake.log"))[-1].read_text()


@pytest.fixture(scope="module")
def here(data, tmp_path_factory) -> Path:
    """The same run on this machine alone."""
    folder = tmp_path_factory.mktemp("here")
    answer = call_bids_ai(*call(data, folder), timeout=600)
    assert answer.code == 0, answer.text
    return folder


def assert_same(one: Path, other: Path) -> None:
    names = sorted(path.relative_to(one / "out") for path in (one / "out").rglob("*_relmat.tsv"))
    assert len(names) >= 2 * N_SUBJECTS
    assert names == sorted(path.relative_to(other / "out") for path in (other / "out").rglob("*_relmat.tsv"))
    for name in names:
        np.testing.assert_array_equal(read_relmat(one / "out" / name)[0], read_relmat(other / "out" / name)[0])


def test_a_run_on_the_cluster_equals_one_on_this_machine(data, here, tmp_path):
    answer = on_the_cluster(data, tmp_path)
    assert answer.code == 0, answer.text + log_of(tmp_path)
    log = log_of(tmp_path)
    assert "SLURM" in log
    assert_same(here, tmp_path)
    assert len(list((tmp_path / "out").glob("sub-*.html"))) == N_SUBJECTS
    # Jobs of seconds went together: both subjects' functional connectivity is one submission.
    assert re.search(r"group job|groupid|Group", log, re.IGNORECASE)


def test_a_job_that_is_killed_for_memory_comes_again_with_more(data, here, tmp_path):
    # Importing torch alone takes more than the first attempt is given.
    little = "surrogate_fit:mem_mb=150 if attempt == 1 else 3000"
    answer = on_the_cluster(data, tmp_path, "--set-resources", little)
    assert answer.code == 0, answer.text + log_of(tmp_path)
    assert "Trying to restart job" in log_of(tmp_path)
    said = [path.read_text() for path in (tmp_path / "work" / ".snakemake" / "slurm_logs").rglob("*.log")]
    assert any("exceeded memory limit" in text and "surrogate_fit" in text for text in said)
    assert_same(here, tmp_path)


def test_a_job_that_is_lost_comes_again(data, here, tmp_path):
    command = [sys.executable, "-m", "bids_ai", *call(data, tmp_path), "--profile", "slurm", "--", "--jobs", 4, *OFTEN]
    with subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE, text=True) as process:
        lost = _cancel_first("surrogate_fit", process)
        _, err = process.communicate(timeout=900)
    assert lost, err
    assert process.returncode == 0, err + log_of(tmp_path)
    assert "Trying to restart job" in log_of(tmp_path)
    assert_same(here, tmp_path)


def _cancel_first(rule: str, process: subprocess.Popen[str], seconds: float = 300) -> str | None:
    """Cancel the first job of a rule that runs; its number."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        form = ["squeue", "--noheader", "--states", "R", "--format", "%i %k"]
        for line in subprocess.run(form, capture_output=True, text=True, check=True).stdout.splitlines():
            number, _, comment = line.partition(" ")
            if rule in comment:
                subprocess.run(["scancel", number], check=True)
                return number
        time.sleep(0.3)
    return None
