"""What the tests of several rooms share: datasets, the command line in this process, programs with a time limit."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

#: Text, bytes, JSON (a dict or list), an image (a tuple: its shape), or an empty file (None).
Content = str | bytes | dict[str, Any] | list[Any] | tuple[int, ...] | None

DESCRIPTION = {"Name": "Tiny", "BIDSVersion": "1.10.0", "DatasetType": "raw"}


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder with real data."""
    value = os.environ.get("BIDS_AI_TEST_DATA")
    if not value:
        pytest.skip("needs real data: set BIDS_AI_TEST_DATA to the folder that holds them")
    folder = Path(value)
    if not folder.is_dir():
        pytest.skip(f"needs real data: BIDS_AI_TEST_DATA is {value}, which is no folder")
    return folder


# ---- datasets


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two generated subjects at 4 mm, one of them with sessions. Made once; not to be written to."""
    from bids_ai.simulate.cohort import write_cohort

    out_dir = tmp_path_factory.mktemp("generated") / "tiny"
    return write_cohort(out_dir, seed=1, size="tiny", modalities=("t1w", "bold"))


@pytest.fixture
def empty_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make datasets of valid, meaningless images: ``empty_dataset(n_subjects, sessions, runs, ragged, ...)``."""
    from bids_ai.simulate import empty

    # The checks before the first job refuse images that are too small to be registered.
    monkeypatch.setattr(empty, "_SHAPE", (8, 8, 8))

    def make(n_subjects: int = 1, *args: Any, name: str = "dataset", **kwargs: Any) -> Path:
        return empty.write_empty_dataset(tmp_path / name, n_subjects, *args, **kwargs)

    return make


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Path]:
    """Make a dataset of named files: ``make_dataset({"sub-01/anat/sub-01_T1w.nii.gz": (8, 8, 8)})``."""

    def make(files: Mapping[str, Content], name: str = "dataset") -> Path:
        return write_tree(tmp_path / name, {"dataset_description.json": DESCRIPTION} | dict(files))

    return make


def write_tree(root: Path, files: Mapping[str, Content]) -> Path:
    """Write files under a folder."""
    root.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, tuple):
            write_image(path, content)
        elif isinstance(content, dict | list):
            path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content or "", encoding="utf-8")
    return root


def write_image(path: Path, shape: Sequence[int], dtype: str = "int16", voxel_mm: float = 4.0) -> Path:
    """Write an image of noise, seeded."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(0).integers(80, 120, shape).astype(dtype)
    image = nib.Nifti1Image(values, np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0]))
    nib.save(image, path)
    return path


def subject_files(label: str = "01", *, tr: float | None = 2.0, frames: int = 20) -> dict[str, Content]:
    """A subject with a T1w and one run of rest."""
    stem = f"sub-{label}/func/sub-{label}_task-rest"
    sidecar: dict[str, Any] = {"TaskName": "rest"} | ({} if tr is None else {"RepetitionTime": tr})
    return {
        f"sub-{label}/anat/sub-{label}_T1w.nii.gz": (8, 8, 8),
        f"{stem}_bold.nii.gz": (8, 8, 8, frames),
        f"{stem}_bold.json": sidecar,
    }


# ---- the command line


@dataclass(frozen=True)
class Answer:
    """What a call left behind."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All that was printed."""
        return self.out + self.err


@pytest.fixture
def run_cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """Call ``bids-ai`` in this process: ``run_cli("run", data, out, "participant")``."""
    from bids_ai.cli.main import main

    monkeypatch.delenv("BIDS_AI_DEBUG", raising=False)

    def call(*arguments: object) -> Answer:
        capfd.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:  # argparse
            code = end.code if isinstance(end.code, int) else 1
        printed = capfd.readouterr()
        return Answer(code, printed.out, printed.err)

    return call


def call_program(
    *arguments: object, timeout: float = 240, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Answer:
    """Run a program in a process group of its own, and end the whole group when time is up."""
    process = subprocess.Popen(
        [str(argument) for argument in arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=dict(os.environ) | {"OMP_NUM_THREADS": "1"} | dict(env or {}),
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        pytest.fail(f"{arguments[0]} did not end within {timeout:g} s:\n{out[-2000:]}\n{err[-2000:]}")
    return Answer(process.returncode, out, err)


def call_bids_ai(*arguments: object, **options: Any) -> Answer:
    """Run ``bids-ai`` as a program, with a time limit."""
    return call_program(sys.executable, "-m", "bids_ai", *arguments, **options)


@pytest.fixture(scope="session")
def atlas_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded atlas of 20 regions as a work folder keeps it, made once."""
    from bids_ai.parcellation.atlas import load_atlas

    folder = tmp_path_factory.mktemp("atlas") / "cache"
    load_atlas("EqualVolume:20", cache_dir=folder)
    return folder


@pytest.fixture
def shared_work(tmp_path_factory: pytest.TempPathFactory, atlas_cache: Path) -> Path:
    """A work folder outside of the test's folder, with the embedded atlas at hand."""
    folder = tmp_path_factory.mktemp("work")
    shutil.copytree(atlas_cache, folder / "cache")
    return folder


@pytest.fixture
def new_work(tmp_path: Path, atlas_cache: Path) -> Callable[[str], Path]:
    """Make a work folder that nothing has run in, with the embedded atlas at hand."""

    def make(name: str = "work") -> Path:
        shutil.copytree(atlas_cache, tmp_path / name / "cache")
        return tmp_path / name

    return make


def listing(folder: Path) -> list[str]:
    """Every file and folder under a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
