"""Planning and running the workflow, with a time limit on every start of Snakemake."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.conftest import Answer, call_bids_ai

#: With the device named, torch need not be asked for one before the first job.
QUICK = ("--skip-bids-validation", "--device", "cpu", "--atlases", "EqualVolume:20")


def job_counts(answer: Answer) -> dict[str, int]:
    """Jobs by rule, from the table that Snakemake prints."""
    table = re.search(r"^job +count\n[- ]+\n(.*?)^total ", answer.out, re.MULTILINE | re.DOTALL)
    if table is None:
        assert "Nothing to be done" in answer.text, answer.text
        return {}
    counts = dict(line.split() for line in table[1].splitlines())
    return {rule: int(count) for rule, count in counts.items() if rule != "all"}


@pytest.fixture
def planned(tmp_path: Path, shared_work: Path) -> Callable[..., dict[str, int]]:
    """Jobs by rule of a dry run: ``planned(data, "--anat-only")``."""

    def plan(data: Path | str, *options: object) -> dict[str, int]:
        out = tmp_path / "out"
        answer = call_bids_ai("run", data, out, "participant", "-w", shared_work, *QUICK, *options, "--dry-run")
        assert answer.code == 0, answer.text
        assert not out.exists()
        return job_counts(answer)

    return plan


@pytest.fixture(scope="session")
def small_atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An atlas file of two regions with its table, quickly read."""
    folder = tmp_path_factory.mktemp("atlas")
    labels = np.zeros((8, 8, 8), np.int16)
    labels[:4], labels[4:] = 1, 2
    image = nib.Nifti1Image(labels, np.diag([4.0, 4.0, 4.0, 1.0]))
    image.set_sform(image.affine, code="mni")
    path = folder / "atlas-Halves_space-MNI152NLin6Asym_dseg.nii.gz"
    nib.save(image, path)
    path.with_name("atlas-Halves_dseg.tsv").write_text("index\tname\n1\tLH_A\n2\tRH_A\n")
    return path
