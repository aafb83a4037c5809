"""The whole way of a small series: to its T1w, and, without one, to the template."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_ai.bids.gradients import read_gradients, write_gradients
from bids_ai.preprocess import dwi
from bids_ai.preprocess.bold_geometry import apply_matrix, grid_points, read_itk_affine, sample, write_itk_affine
from bids_ai.preprocess.dwi_inputs import DwiInputs
from bids_ai.preprocess.dwi_outputs import DwiOutputs
from bids_ai.preprocess.motion import rigid_matrix
from bids_ai.preprocess.templates import Template
from tests.preprocess.dwi_phantom import Head, bump, make_head, series, small_table, wander

#: DWI to T1w.
POSE = rigid_matrix(np.array([3.0, -2.0, 4.0, 0.03, -0.04, 0.05]), np.zeros(3))
T1W = np.array([0.0, 60.0, 100.0, 25.0])  # by tissue


def write(path: Path, data: np.ndarray, affine: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def anatomy(head: Head, folder: Path, affine: np.ndarray) -> dict[str, Path]:
    rng = np.random.default_rng(5)
    tissue = head.tissue
    brain = np.where(tissue > 0, T1W[tissue] + rng.standard_normal(tissue.shape), 0).astype(np.float32)
    images = {
        "t1w_brain": brain,
        "t1w_mask": (tissue > 0).astype(np.uint8),
        "t1w_dseg": tissue.astype(np.uint8),
        "t1w_gm": (tissue == 1).astype(np.float32),
        "t1w_wm": (tissue == 2).astype(np.float32),
        "t1w_csf": (tissue == 3).astype(np.float32),
    }
    return {name: write(folder / f"{name}.nii.gz", data, affine) for name, data in images.items()}


@pytest.fixture(scope="module")
def head() -> Head:
    return make_head()


@pytest.fixture(scope="module")
def raw(head: Head, tmp_path_factory: pytest.TempPathFactory) -> DwiInputs:
    folder = tmp_path_factory.mktemp("raw")
    motion = np.array([rigid_matrix(row, np.zeros(3)) for row in wander(20, size=0.5)])
    data, table = series(head, motion, table=small_table(), shift=bump())
    bval, bvec = folder / "x.bval", folder / "x.bvec"
    write_gradients(table, bval, bvec)
    partner = head.volume(0, np.zeros(3), np.eye(4), -bump()).astype(np.float32)
    return DwiInputs(
        write(folder / "x.nii.gz", data, head.affine),
        bval,
        bvec,
        phase_encoding="j",
        readout_time=0.04,
        reverse=write(folder / "partner.nii.gz", partner, head.affine),
        engine="dipy",
        **anatomy(head, folder, POSE @ head.fine_affine),
    )


@pytest.fixture(scope="module")
def done(raw: DwiInputs, tmp_path_factory: pytest.TempPathFactory) -> DwiOutputs:
    return dwi.preprocess_dwi(raw, tmp_path_factory.mktemp("work"), sloppy=True)


def test_outputs_lie_on_one_grid_and_the_nodes_are_gone(done: DwiOutputs) -> None:
    image = nib.load(done.dwi)
    assert image.shape[3] == 20
    np.testing.assert_allclose(image.header.get_zooms()[:3], 6.0, rtol=1e-4)
    for name in ("mask", "dwiref", "dwiref_distorted", "gm", "wm", "csf", "fa", "md", "ad", "rd"):
        other = nib.load(getattr(done, name))
        assert other.shape[:3] == image.shape[:3], name
        np.testing.assert_allclose(other.affine, image.affine, atol=1e-4)
    assert not (done.dwi.parent / "dwi").exists()
    assert done.dwi_to_template is None


def test_series_lies_on_the_t1w(head: Head, done: DwiOutputs, raw: DwiInputs) -> None:
    found = read_itk_affine(done.dwi_to_frame)
    points = grid_points(head.brain.shape, head.affine, head.brain).astype(float)
    off = np.linalg.norm(apply_matrix(found, points) - apply_matrix(POSE, points), axis=1).mean()
    # Half a voxel: an ellipsoid of 6 mm voxels, coarsely registered. Real grids: docs/diffusion.md.
    assert off < 3.0
    mask = nib.load(done.mask).get_fdata() > 0
    brain = nib.load(raw.t1w_mask)
    grid = grid_points(mask.shape, nib.load(done.mask).affine)
    truth = sample(np.asarray(brain.dataobj, np.float32), brain.affine, grid).reshape(mask.shape) > 0.5
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.93


def test_gradients_are_turned_with_the_head(done: DwiOutputs, raw: DwiInputs, head: Head) -> None:
    image = nib.load(done.dwi)
    given = read_gradients(raw.bval, raw.bvec, 20)
    turned = read_gradients(done.bval, done.bvec, 20)
    motion = np.array([rigid_matrix(row, np.zeros(3)) for row in wander(20, size=0.5)])
    registered = read_itk_affine(done.dwi_to_frame)[:3, :3]
    wanted = np.einsum("vij,vj->vi", registered @ motion[:, :3, :3].transpose(0, 2, 1), given.world(head.affine))
    cosines = np.abs((turned.world(image.affine) * wanted).sum(axis=1))[~given.unweighted]
    assert np.rad2deg(np.arccos(np.minimum(cosines, 1))).mean() < 1.5
    np.testing.assert_allclose(turned.bvals, given.bvals)


def test_distortion_was_undone(done: DwiOutputs, head: Head) -> None:
    shift = nib.load(done.shift).get_fdata()
    error, before = (np.sqrt((x[head.brain] ** 2).mean()) for x in (shift - bump(), bump()))
    assert error < 0.4 * before
    assert done.qc["distortion"]["method"] == "reverse phase encoding"


def test_tensor_maps_have_the_diffusivities_of_the_head(done: DwiOutputs) -> None:
    wm, gm = (nib.load(path).get_fdata() for path in (done.wm, done.gm))
    fa, md = (nib.load(path).get_fdata() for path in (done.fa, done.md))
    inside = np.isfinite(fa)
    assert inside.sum() == (nib.load(done.mask).get_fdata() > 0).sum()
    white, grey = inside & (wm > 0.9), inside & (gm > 0.9)
    assert np.median(fa[white]) > 0.3 > 0.2 > np.median(fa[grey])
    assert np.median(md[white]) == pytest.approx(0.82e-3, rel=0.12)


def test_quality_says_what_was_done(done: DwiOutputs) -> None:
    qc = done.qc
    assert qc["denoising"]["method"].startswith("MP-PCA (dipy)")
    assert any("Gibbs" in text for text in qc["not_used"])
    assert qc["shells"] == [{"b": 1000.0, "volumes": 17, "directions": 17}]
    assert set(qc["seconds"]) >= {"check", "motion", "distortion", "register", "resample", "tensor"}
    assert qc["space"] == "T1w"
    table = pd.read_csv(done.confounds, sep="\t", na_values="n/a")
    assert len(table) == 20
    assert np.isnan(table["framewise_displacement"][0])
    assert table["framewise_displacement"][1:].gt(0).all()
    assert qc["fd_max_mm"] == pytest.approx(table["framewise_displacement"].max(), rel=1e-6)


def test_alone_it_is_aligned_with_the_template(
    raw: DwiInputs, head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No T1w, no phase encoding, no denoising: the plainest way."""
    images = anatomy(head, tmp_path, POSE @ head.fine_affine)
    template = Template(
        "Small", images["t1w_brain"], images["t1w_mask"], images["t1w_gm"], images["t1w_wm"], None, "made here"
    )
    alone = replace(
        raw,
        phase_encoding=None,
        reverse=None,
        template=template,
        **dict.fromkeys(("t1w_brain", "t1w_mask", "t1w_dseg", "t1w_gm", "t1w_wm", "t1w_csf")),
    )

    # The registration itself is tested with the T1w; here, where its answer is taken to.
    def aligned(b0, affine, mask, template, folder, **_):
        from bids_ai.preprocess.dwi_registration import TemplateFit

        files = [write_itk_affine(folder / name, np.eye(4)) for name in ("to.txt", "from.txt")]
        return TemplateFit(POSE, *files, {"method": "given"})

    monkeypatch.setattr("bids_ai.preprocess.dwi_registration.align_with_template", aligned)
    found = dwi.preprocess_dwi(alone, tmp_path / "work", denoise=False, sloppy=True)
    assert found.qc["space"] == "aligned"
    assert "PhaseEncodingDirection is not known" in found.qc["warnings"][0]
    assert "Denoising: switched off" in found.qc["not_used"]
    assert found.residual is None
    np.testing.assert_allclose(read_itk_affine(found.dwi_to_frame), POSE, atol=1e-5)
    wm, fa = (nib.load(path).get_fdata() for path in (found.wm, found.fa))
    inside = np.isfinite(fa)
    assert np.corrcoef(wm[inside], fa[inside])[0, 1] > 0.4
    assert not nib.load(found.shift).get_fdata().any()
