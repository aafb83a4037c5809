"""The image as people use it: as another user, without network, with a read-only dataset and a read-only root."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from bids_ai import __version__
from bids_ai.bids.tables import read_relmat
from tests.conftest import call_bids_ai
from tests.container.conftest import IMAGE, SOMEBODY, content, ended, podman

WRITABLE = ("--tmpfs", "/tmp")
QUICK = ("--skip-bids-validation", "--sloppy", "--atlases", "EqualVolume:12", "--nprocs", "2")
MOST_BYTES = 4e9


def inspected(form: str) -> str:
    return ended(["podman", "image", "inspect", IMAGE, "--format", form]).out.strip()


def test_it_says_its_version_and_helps():
    assert podman("--version", options=WRITABLE).out.strip() == f"bids-ai {__version__}"
    assert "participant" in podman("run", "--help", options=WRITABLE).out
    assert f"bids-ai {__version__}" in ended(["podman", "run", "--rm", "--no-healthcheck", IMAGE, "--version"]).out


def test_it_is_small_enough_and_labelled_and_no_root():
    assert int(inspected("{{.Size}}")) < MOST_BYTES
    labels = json.loads(inspected("{{json .Labels}}"))
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert inspected("{{.User}}") == "bids_ai"
    assert "--version" in inspected("{{json .HealthCheck}}") + inspected("{{json .Healthcheck}}")


def test_nothing_of_the_machine_that_built_it_is_left():
    environment = " ".join(json.loads(inspected("{{json .Config.Env}}")))
    assert not re.search(r"(?i)cert|proxy|pip_|find.links|index", environment)
    command = ["podman", "run", "--rm", "--no-healthcheck", "--user", "0", "--entrypoint", "sh", IMAGE, "-c"]
    assert ended([*command, "cat /etc/pip.conf 2>/dev/null; ls /src /root/.cache 2>/dev/null"]).out == ""


@pytest.mark.parametrize("program", ["mrconvert", "dwidenoise", "tckgen", "tcksift2", "bids-validator-deno"])
def test_every_tool_is_in_it(program):
    found = ended(["podman", "run", "--rm", "--no-healthcheck", "--entrypoint", "which", IMAGE, program])
    assert found.out.strip().endswith(f"/{program}"), found.text


def test_the_whole_job_as_somebody(cohort, owned, tmp_path):
    out, work = owned("out"), owned("work")
    before = content(cohort)
    volumes = {cohort: "/data:ro", out: "/out", work: "/work"}
    done = podman("/data", "/out", "participant", *QUICK, options=WRITABLE, volumes=volumes)
    assert done.code == 0, done.text
    assert done.out.strip() == "report: /out/sub-01.html"
    assert content(cohort) == before
    assert {path.stat().st_uid for path in out.rglob("*")} == {SOMEBODY}
    described = json.loads((out / "dataset_description.json").read_text())
    assert described["GeneratedBy"][0]["Container"]["Tag"] == f"bids-ai:{__version__}"
    validated = ended(["bids-validator-deno", out, "--format", "json"])
    issues = json.loads(validated.out)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []
    # The same numbers as outside: the same versions of everything, and one seed.
    answer = call_bids_ai("run", cohort, tmp_path / "outside", "participant", *QUICK, timeout=900)
    assert answer.code == 0, answer.text
    names = sorted(path.relative_to(out) for path in out.rglob("*_relmat.tsv"))
    assert any("effectiveconnectivity" in name.name for name in names)
    assert names == sorted(
        path.relative_to(tmp_path / "outside") for path in (tmp_path / "outside").rglob("*_relmat.tsv")
    )
    for name in names:
        if "/dwi/" in str(name) and not shutil.which("tckgen"):
            continue  # MRtrix3 is in the image, and not here
        inside, outside = read_relmat(out / name)[0], read_relmat(tmp_path / "outside" / name)[0]
        np.testing.assert_array_equal(inside, outside, err_msg=str(name))
    # The same command again has nothing to do.
    again = podman("/data", "/out", "participant", *QUICK, options=WRITABLE, volumes=volumes)
    assert again.code == 0, again.text
    assert "jobs] done" not in again.err


def test_without_a_work_folder_a_temporary_one_is_used(cohort, owned):
    out = owned("out")
    call = ("/data", "/out", "participant", "--anat-only", *QUICK)
    done = podman(*call, options=WRITABLE, volumes={cohort: "/data:ro", out: "/out"})
    assert done.code == 0, done.text
    assert (out / "sub-01.html").is_file()


def test_an_output_folder_of_somebody_else_is_refused_with_what_to_do(cohort, tmp_path):
    tmp_path.chmod(0o755)
    out = tmp_path / "of_root"
    out.mkdir(mode=0o755)
    done = podman("/data", "/out", "participant", options=WRITABLE, volumes={cohort: "/data:ro", out: "/out"})
    assert done.code == 2, done.text
    assert "-u $(id -u)" in done.err


def test_a_folder_that_was_not_mounted_is_named(owned):
    done = podman("/data", "/out", "participant", options=WRITABLE, volumes={owned("out"): "/out"})
    assert done.code == 2, done.text
    assert "/data" in done.err
    assert "-v" in done.err


def test_without_any_place_for_temporary_files_it_says_so():
    done = podman("--version", options=["--read-only-tmpfs=false"])
    assert done.code == 2, done.text
    assert "--tmpfs /tmp" in done.err


def test_other_commands_are_there(owned):
    out = owned("ec")
    rng = np.random.default_rng(1)
    series = np.zeros((300, 4))
    for time_ in range(1, 300):
        series[time_] = 0.5 * series[time_ - 1] + rng.standard_normal(4)
        series[time_, 1] += 0.6 * series[time_ - 1, 0]
    table = "\n".join(["a\tb\tc\td", *("\t".join(f"{value:.5f}" for value in row) for row in series)])
    (out / "person.tsv").write_text(table)
    done = podman(
        *("ec", "/here/person.tsv", "--tr", "2", "--model", "ridge-var", "--out-dir", "/here/ec"),
        options=WRITABLE,
        volumes={out: "/here"},
    )
    assert done.code == 0, done.text
    effect, names = read_relmat(out / "ec" / "ec_relmat.tsv")
    assert names == list("abcd")
    assert effect[0, 1] > 2 * np.nanmax(np.abs(np.delete(effect.ravel(), 1)))


def test_a_stopped_container_leaves_a_report_and_no_process(cohort, owned):
    out, work = owned("out"), owned("work")
    name = f"bids-ai-stopped-{os.getpid()}"
    command = ["podman", "run", "--rm", "--name", name, "--no-healthcheck", "--network=none", "--read-only", *WRITABLE]
    command += [
        "--user",
        f"{SOMEBODY}:{SOMEBODY}",
        "-v",
        f"{cohort}:/data:ro",
        "-v",
        f"{out}:/out",
        "-v",
        f"{work}:/work",
    ]
    process = subprocess.Popen(
        [*command, IMAGE, "/data", "/out", "participant", *QUICK], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    for line in process.stderr:
        if "jobs] " in line:
            break
    started = time.monotonic()
    ended(["podman", "kill", "--signal", signal.SIGTERM.name, name])
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert time.monotonic() - started < 60
    assert (out / "sub-01.html").is_file()
    assert not [path for path in out.rglob(".*-*") if path.suffix in (".gz", ".tsv")]
