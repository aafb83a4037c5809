"""Figures of the diffusion stage are drawn, and say what they show."""

from __future__ import annotations

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_ai.errors import InputError
from bids_ai.report.figures import dwi, dwi_charts

SHAPE = (16, 18, 12)
AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])


def image(data: np.ndarray) -> nib.Nifti1Image:
    return nib.Nifti1Image(np.asarray(data, np.float32), AFFINE)


@pytest.fixture
def ball() -> np.ndarray:
    index = np.indices(SHAPE) - (np.array(SHAPE)[:, None, None, None] - 1) / 2
    return (index**2).sum(axis=0) < 25


def directions(n: int) -> np.ndarray:
    vectors = np.random.default_rng(0).standard_normal((n, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_pictures_alternate_under_outlines(ball: np.ndarray, tmp_path: Path) -> None:
    b0, labels = image(ball * 100.0), image(ball * 2 - (np.roll(ball, 2, 0) < ball))
    for name, path in {
        "coregistration": dwi.plot_dwi_coregistration(b0, image(ball * 50.0), labels, tmp_path / "a.svg"),
        "distortion": dwi.plot_dwi_distortion(b0, image(np.roll(ball, 1, 1) * 90.0), labels, tmp_path / "b.svg"),
    }.items():
        text = path.read_text()
        assert 'id="moving"' in text, name
        assert 'id="fixed"' in text, name
        assert "brain" in text


def test_fa_has_the_colour_of_its_direction(ball: np.ndarray, tmp_path: Path) -> None:
    def mean_colour(axis: int) -> np.ndarray:
        fa = np.where(ball, 0.7, np.nan)
        vectors = np.zeros((*SHAPE, 3))
        vectors[..., axis] = -1.0
        seen: list[np.ndarray] = []
        layers = dwi._coloured(
            [dwi.Volume(np.abs(vectors[..., k]) * np.nan_to_num(fa).astype(np.float32), AFFINE) for k in range(3)]
        )
        cut = dwi.plan_cuts(np.array([[8.0, 52.0], [8.0, 60.0], [8.0, 36.0]]), 4.0, n_cuts=1)[0][0]
        seen.append(layers(cut).reshape(-1, 3))
        return seen[0].mean(axis=0)

    for axis in range(3):
        colour = mean_colour(axis)
        assert colour.argmax() == axis
        assert np.delete(colour, axis).max() == 0
    vectors = np.zeros((*SHAPE, 3), np.float32)
    path = dwi.plot_fa(image(np.where(ball, 0.5, np.nan)), nib.Nifti1Image(vectors, AFFINE), tmp_path / "fa.svg")
    assert "left-right" in path.read_text()
    with pytest.raises(InputError, match="do not belong to FA"):
        dwi.plot_fa(image(ball), nib.Nifti1Image(vectors[:-1], AFFINE), tmp_path / "no.svg")


def test_residual_is_scaled_to_the_brain(ball: np.ndarray, tmp_path: Path) -> None:
    path = dwi.plot_denoising(image(np.where(ball, 7.0, 1.0)), tmp_path / "d.svg", image(ball))
    assert re.search(r"standard deviation of 14,", path.read_text())
    with pytest.raises(InputError, match="one grid"):
        dwi.plot_denoising(image(ball), tmp_path / "no.svg", nib.Nifti1Image(np.ones((3, 3, 3)), AFFINE))


def test_gradients_and_motion(tmp_path: Path) -> None:
    bvals = np.repeat([0.0, 1000.0, 2000.0], [2, 6, 8])
    shells = [np.arange(2, 8), np.arange(8, 16)]
    path = dwi_charts.plot_gradients(bvals, directions(16), shells, tmp_path / "g.svg")
    text = path.read_text()
    assert "b0: 2" in text
    assert "b 2000: 8" in text
    with pytest.raises(InputError, match="as many directions"):
        dwi_charts.plot_gradients(bvals, directions(15), shells, tmp_path / "no.svg")
    names = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
    table = pd.DataFrame(np.zeros((16, 7)), columns=[*names, "framewise_displacement"])
    loss, outlier = np.zeros((16, 9)), np.zeros((16, 9), bool)
    outlier[3, 4] = outlier[5, 2] = True
    path = dwi_charts.plot_dwi_motion(table, loss, outlier, tmp_path / "m.svg")
    assert "2 slices with drop-out" in path.read_text()
    with pytest.raises(InputError, match="disagree"):
        dwi_charts.plot_dwi_motion(table, loss[:-1], outlier, tmp_path / "no.svg")


def test_ellipse_points_along_the_fibre_and_stays_in_its_voxel(ball: np.ndarray, tmp_path: Path) -> None:
    fa = np.where(ball, 0.8, np.nan)
    vectors = np.zeros((*SHAPE, 3))
    vectors[..., 0] = 1.0
    drawn = {}

    def keep(anisotropy: np.ndarray, outlines: np.ndarray, *_: object) -> Path:
        drawn["outlines"] = outlines[anisotropy > 0]
        return tmp_path

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dwi_charts, "_draw_glyphs", keep)
        dwi_charts.plot_tensors(fa, vectors, np.where(ball, 1.6e-3, np.nan), np.where(ball, 0.4e-3, np.nan), tmp_path)
    width, height = np.ptp(drawn["outlines"], axis=1).T
    np.testing.assert_allclose(width / height, 4.0, rtol=0.02)
    assert width.max() <= 0.97
    path = dwi_charts.plot_tensors(
        fa, vectors, np.where(ball, 1.6e-3, np.nan), np.where(ball, 0.4e-3, np.nan), tmp_path / "t.svg"
    )
    assert "coronal slice" in path.read_text()
