"""A disk of one megabyte: every writer says that it is full, and leaves nothing under the final name."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_ai.bids.files import atomic, copy, write_json, write_text
from bids_ai.bids.tables import write_relmat, write_timeseries
from bids_ai.cli.main import main
from bids_ai.errors import DiskFullError, disk_full
from bids_ai.report.files import write_text_atomic

RNG = np.random.default_rng(0)
NAMES = [f"R{number}" for number in range(400)]


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A file system of its own in memory, 1 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=False, capture_output=True
    )
    if done.returncode:
        pytest.skip("no file system can be mounted here (it needs the rights of root)")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def write_image(path: Path) -> None:
    with atomic(path) as temporary:
        nib.save(nib.Nifti1Image(RNG.random((100, 100, 50)), np.eye(4)), temporary)


def write_weights(path: Path) -> None:
    """As a library does that has errors of its own."""
    from safetensors.numpy import save_file

    with atomic(path) as temporary:
        save_file({"x": np.zeros(2**19)}, temporary)


def draw(path: Path) -> None:
    from bids_ai.report.figures.matrices import plot_relmat

    names = NAMES[:300]
    nodes = pd.DataFrame(
        {
            "index": range(1, 301),
            "name": names,
            "hemisphere": None,
            "network": None,
            "x": 0.0,
            "y": 0.0,
            "z": 0.0,
            "color": "#aaaaaa",
        }
    )
    plot_relmat(RNG.random((300, 300)), nodes, path, title="t", label="l", directed=True)


WRITERS: dict[str, Callable[[Path], Any]] = {
    "x.txt": lambda path: write_text(path, "x" * 2_000_000),
    "x.json": lambda path: write_json(path, ["x" * 2_000_000]),
    "x_relmat.tsv": lambda path: write_relmat(
        path, RNG.random((400, 400)), NAMES, {"Directed": True, "RelationshipMeasure": "x"}
    ),
    "x_timeseries.tsv.gz": lambda path: write_timeseries(path, RNG.random((2000, 400)), NAMES, {}),
    "x.nii.gz": write_image,
    "x.safetensors": write_weights,
    "sub-01.html": lambda path: write_text_atomic(path, "x" * 2_000_000),
    "copy": lambda path: copy(path.parents[1] / "source", path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_writer_says_that_the_disk_is_full_and_leaves_the_old_file_alone(disk, name):
    (disk.parent / "source").write_bytes(bytes(2_000_000))
    (disk / name).write_text("old")
    with pytest.raises(DiskFullError) as caught:
        WRITERS[name](disk / name)
    assert f"{name} was not written. No space is left on the disk (or in the quota) of {disk}: " in str(caught.value)
    assert "MB are free" in str(caught.value)
    assert (disk / name).read_text() == "old"
    assert [path.name for path in disk.iterdir()] == [name]


def test_a_figure_on_a_full_disk(disk):
    (disk / "filling").write_bytes(bytes(2**20 - 8192))
    with pytest.raises(DiskFullError, match=r"x\.svg was not written"):
        draw(disk / "x.svg")
    assert [path.name for path in disk.iterdir()] == ["filling"]


def test_the_command_ends_with_the_word(disk, tmp_path, capsys):
    series = RNG.standard_normal((90, 6))
    rows = "\n".join("\t".join(f"{value:.4f}" for value in row) for row in series)
    (tmp_path / "x.tsv").write_text("\t".join(NAMES[:6]) + f"\n{rows}\n")
    (disk / "filling").write_bytes(bytes(2**20 - 4096))
    code = main(["ec", str(tmp_path / "x.tsv"), "--tr", "2", "--model", "ridge-var", "--out-dir", str(disk / "out")])
    told = capsys.readouterr().err
    assert code == 1
    assert "No space is left on the disk" in told
    assert "Traceback" not in told


def test_other_errors_stay_what_they_are(tmp_path):
    assert disk_full(PermissionError(13, "Permission denied"), tmp_path) is None
    assert "MB are free" in (disk_full(RuntimeError("a node: [Errno 28] No space left on device"), tmp_path) or "")
    with pytest.raises(KeyError), atomic(tmp_path / "x"):
        raise KeyError("x")
    assert list(tmp_path.iterdir()) == []
