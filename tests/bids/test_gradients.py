"""Gradient tables: what is read, what is mended, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from bids_ai.bids.gradients import check_gradients, read_gradients
from bids_ai.errors import InputError
from tests.diffusion_phantom import oblique, scheme


def write(folder: Path, bvals: object, bvecs: object) -> tuple[Path, Path]:
    bval, bvec = folder / "x.bval", folder / "x.bvec"
    np.savetxt(bval, np.atleast_2d(np.asarray(bvals, float)), fmt="%g")
    np.savetxt(bvec, np.asarray(bvecs, float), fmt="%.6f")
    return bval, bvec


@pytest.fixture
def good() -> tuple[np.ndarray, np.ndarray]:
    table = scheme((1000, 12))
    return table.bvals, table.bvecs


def test_reads_three_rows_and_mends_three_columns(tmp_path: Path, good: tuple[np.ndarray, np.ndarray]) -> None:
    bvals, bvecs = good
    table = read_gradients(*write(tmp_path, bvals, bvecs.T), len(bvals))
    assert_allclose(table.bvecs, bvecs, atol=1e-5)
    assert table.notes == ()
    other = read_gradients(*write(tmp_path, bvals, bvecs), len(bvals))
    assert_allclose(other.bvecs, bvecs, atol=1e-5)
    assert "transposed" in other.notes[0]


def test_names_the_fault(tmp_path: Path, good: tuple[np.ndarray, np.ndarray]) -> None:
    bvals, bvecs = good
    bval, bvec = write(tmp_path, bvals, bvecs.T)
    with pytest.raises(InputError, match="16 b-values for 17 volumes"):
        read_gradients(bval, bvec, 17)
    with pytest.raises(InputError, match="not a file"):
        read_gradients(bval, tmp_path / "none.bvec", 16)
    (tmp_path / "text.bval").write_text("0 a b")
    with pytest.raises(InputError, match="not a table of numbers"):
        read_gradients(tmp_path / "text.bval", bvec, 16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b, g: (np.where(b == 0, 1000, b), np.where(g == 0, 0.577, g)), "no unweighted volume"),
        (lambda b, g: (b * 0, g), "no volume is diffusion-weighted"),
        (lambda b, g: (np.where(np.arange(16) == 5, np.nan, b), g), "volume 5"),
        (lambda b, g: (b, g * 1.2), "not of unit length"),
        (lambda b, g: (b, np.where(np.arange(16)[:, None] == 7, np.nan, g)), "volume 7 .* no b-vector"),
    ],
)
def test_refuses(change, message: str, good: tuple[np.ndarray, np.ndarray]) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        check_gradients(*change(*good))


def test_direction_of_an_unweighted_volume_means_nothing(good: tuple[np.ndarray, np.ndarray]) -> None:
    bvals, bvecs = good
    bvecs = bvecs.copy()
    bvecs[:2] = [[np.nan] * 3, [1, 0, 0]]
    assert_allclose(check_gradients(bvals, bvecs).bvecs[:4], 0)


def test_shells_of_scattered_values_and_distinct_directions() -> None:
    table = scheme((1000, 20), (2000, 30))
    jitter = np.random.default_rng(0).uniform(-12, 12, len(table))
    bvecs = table.bvecs.copy()
    bvecs[5] = -bvecs[4]  # antipodal: measures the same
    scattered = check_gradients(np.maximum(table.bvals + jitter * (table.bvals > 0), 0), bvecs)
    assert [shell.n_directions for shell in scattered.shells] == [19, 30]
    assert_allclose([shell.b for shell in scattered.shells], [1000, 2000], atol=10)
    assert [len(shell.volumes) for shell in scattered.shells] == [20, 30]


@pytest.mark.parametrize("det", [-1, 1])
def test_world_axes_and_back(det: int) -> None:
    # FSL: voxel axes, x turned around where the determinant is positive.
    table, affine = scheme((1000, 12)), oblique(det)
    voxel = table.bvecs * [-1 if det > 0 else 1, 1, 1]
    expected = voxel @ (affine[:3, :3] / 2.0).T
    assert_allclose(table.world(affine), expected, atol=1e-12)
    assert_allclose(table.with_world(expected, affine).bvecs, table.bvecs, atol=1e-12)


def test_real_tables(test_data: Path) -> None:
    folder = test_data / "dwi-dipy-small"
    table = read_gradients(folder / "small_64D.bval", folder / "small_64D.bvec", 65)  # unrounded, NaN at b0
    assert [shell.n_directions for shell in table.shells] == [64]
    grid = read_gradients(folder / "small_101D.bval", folder / "small_101D.bvec", 102)  # b = 15 to 4065
    assert grid.unweighted.sum() == 1
    assert len(grid.shells) > 8
    folder = test_data / "bids-ds000114-dwi" / "sub-01" / "ses-test" / "dwi"
    stem = folder / "sub-01_ses-test_dwi"
    assert read_gradients(stem.with_suffix(".bval"), stem.with_suffix(".bvec"), 20).n_directions == 13
