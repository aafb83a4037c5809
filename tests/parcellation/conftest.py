"""Small label volumes and their tables."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")

# 4 mm voxels, x from -18 to 18 without a plane at 0: voxels 0-4 are left, 5-9 right
AFFINE = np.array([[4.0, 0, 0, -18], [0, 4, 0, -20], [0, 0, 4, -12], [0, 0, 0, 1]])
SHAPE = (10, 10, 6)


@pytest.fixture
def four_blocks() -> np.ndarray:
    """Labels 1, 2 left and 3, 4 right, blocks of 2 x 3 x 2 voxels; 1 faces 3, 2 faces 4."""
    labels = np.zeros(SHAPE, np.int16)
    for label, (i, j) in enumerate(((1, 1), (1, 6), (7, 1), (7, 6)), start=1):
        labels[i : i + 2, j : j + 3, 2:4] = label
    return labels


@pytest.fixture
def write_atlas(tmp_path: Path, four_blocks: np.ndarray) -> Callable[..., Path]:
    """Write a label volume, with a table beside it if one is given as text."""

    def write(
        name: str = "mine_space-MNI152NLin6Asym",
        *,
        data: np.ndarray | None = None,
        table: str | None = "index\tname\n1\tL_a\n2\tL_b\n3\tR_a\n4\tR_b\n",
        ending: str = ".tsv",
        affine: np.ndarray = AFFINE,
    ) -> Path:
        path = tmp_path / f"{name}.nii.gz"
        nib.save(nib.Nifti1Image(four_blocks if data is None else data, affine), path)
        if table is not None:
            (tmp_path / f"{name}{ending}").write_text(table, encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real data, or a skip that says how to give one."""
    folder = os.environ.get("BIDS_AI_TEST_DATA")
    if not folder:
        pytest.skip("set BIDS_AI_TEST_DATA to the folder of test data to run this on real atlases")
    return Path(folder)


@pytest.fixture(scope="session")
def atlas_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of embedded atlases for the whole session: each is made once."""
    return tmp_path_factory.mktemp("atlases")
