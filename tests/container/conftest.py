"""The image and the SIF, run for real: `make test-container` builds both and says here where they are."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import call_bids_ai

IMAGE = os.environ.get("BIDS_AI_TEST_IMAGE", "")
SIF = os.environ.get("BIDS_AI_TEST_SIF", "")
#: Somebody who is neither root nor the user of the image.
SOMEBODY = 5123

# Part of no other test run.
collect_ignore_glob = [] if IMAGE else ["test_*.py"]


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return f"exit {self.code}\n{self.out}\n{self.err}"


def ended(command: Sequence[object], *, seconds: float = 900, **settings: object) -> Ended:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=seconds, check=False, **settings
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def podman(
    *words: object, user: int = SOMEBODY, options: Iterable[object] = (), volumes: dict[Path, str] | None = None
) -> Ended:
    """Run the image without network and with a root that cannot be written."""
    command: list[object] = ["podman", "run", "--rm", "--no-healthcheck", "--network=none", "--read-only"]
    command += ["--user", f"{user}:{user}", *options]
    # Kernels of OpenBLAS differ by rounding: where they are chosen outside, the same ones inside.
    command += [f"--env={name}={value}" for name, value in os.environ.items() if name.startswith("OPENBLAS_")]
    for folder, target in (volumes or {}).items():
        command += ["-v", f"{folder}:{target}"]
    return ended([*command, IMAGE, *words])


def content(folder: Path) -> dict[str, str]:
    """Digest and time of every file below a folder."""
    return {
        str(path.relative_to(folder)): f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_mtime_ns}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One virtual subject, coarse, with T1w, DWI and BOLD."""
    folder = tmp_path_factory.mktemp("cohort") / "data"
    answer = call_bids_ai(
        "simulate", folder, "--size", "tiny", "--subjects", 1, "--modalities", "t1w", "dwi", "bold", timeout=600
    )
    assert answer.code == 0, answer.text
    return folder


@pytest.fixture
def owned(tmp_path: Path) -> Callable[[str], Path]:
    """Make a folder that belongs to somebody."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        os.chown(folder, SOMEBODY, SOMEBODY)
        return folder

    tmp_path.chmod(0o755)
    return make
