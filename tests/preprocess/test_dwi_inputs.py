"""Diffusion series that cannot be used are refused by name; what is left out is said."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_ai.bids.gradients import check_gradients, write_gradients
from bids_ai.errors import InputError
from bids_ai.preprocess.dwi_inputs import DwiInputs, check_inputs, choose_engine, notes_on, reverse_usable
from bids_ai.preprocess.dwi_series import mean_of_reverse, phase_axis, read_series
from bids_ai.preprocess.templates import Template
from tests.preprocess.dwi_phantom import small_table

SHAPE = (8, 9, 7)
AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
TEMPLATE = Template("Any", Path("t1w.nii"), Path("mask.nii"), None, None, None, "")


def write(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    nib.save(nib.Nifti1Image(data.astype(np.float32), affine), path)
    return path


@pytest.fixture
def inputs(tmp_path: Path) -> DwiInputs:
    table = small_table()
    data = np.random.default_rng(0).uniform(100, 200, (*SHAPE, len(table)))
    bval, bvec = tmp_path / "x.bval", tmp_path / "x.bvec"
    write_gradients(table, bval, bvec)
    return DwiInputs(
        write(tmp_path / "x.nii.gz", data), bval, bvec, phase_encoding="j-", readout_time=0.05, template=TEMPLATE
    )


def test_good_input_passes(inputs: DwiInputs) -> None:
    shape, table = check_inputs(inputs)
    assert shape == (*SHAPE, 20)
    assert table.n_directions == 17


@pytest.mark.parametrize(
    ("field", "text"),
    [("bval", "not a file"), ("bvec", "not a file"), ("dwi", "no such file"), ("reverse", "no such file")],
)
def test_missing_files(inputs: DwiInputs, tmp_path: Path, field: str, text: str) -> None:
    with pytest.raises(InputError, match=text):
        check_inputs(dataclasses.replace(inputs, **{field: tmp_path / "absent"}))


def test_table_of_the_wrong_length(inputs: DwiInputs) -> None:
    inputs.bval.write_text(inputs.bval.read_text().strip() + " 1000\n")
    with pytest.raises(InputError, match="21 b-values for 20 volumes"):
        check_inputs(inputs)


def test_vectors_that_are_not_unit(inputs: DwiInputs) -> None:
    vectors = np.loadtxt(inputs.bvec)
    np.savetxt(inputs.bvec, vectors * 0.7)
    with pytest.raises(InputError, match="not of unit length"):
        check_inputs(inputs)


def test_no_b0(inputs: DwiInputs) -> None:
    inputs.bval.write_text(" ".join(["1000"] * 20))
    with pytest.raises(InputError, match="no unweighted volume"):
        check_inputs(inputs)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"phase_encoding": "AP"}, "PhaseEncodingDirection must be one of i, i-"),
        ({"readout_time": 50.0}, "must be seconds"),
        ({"engine": "fsl"}, "Unknown DWI engine 'fsl'"),
        ({"template": None}, "a preprocessed T1w or a template is needed"),
        ({"t1w_brain": True}, "belong together; t1w_mask, t1w_dseg missing"),
    ],
)
def test_settings_that_cannot_be(inputs: DwiInputs, change: dict, text: str) -> None:
    if "t1w_brain" in change:
        change = {"t1w_brain": inputs.dwi}
    with pytest.raises(InputError, match=text):
        check_inputs(dataclasses.replace(inputs, **change))


def test_single_volume_is_no_series(inputs: DwiInputs, tmp_path: Path) -> None:
    one = write(tmp_path / "one.nii.gz", np.ones(SHAPE))
    with pytest.raises(InputError, match="must be 4-D"):
        check_inputs(dataclasses.replace(inputs, dwi=one))


def test_t1w_that_does_not_overlap(inputs: DwiInputs, tmp_path: Path) -> None:
    away = AFFINE.copy()
    away[:3, 3] = 500
    image = write(tmp_path / "t1w.nii.gz", np.ones((20, 20, 20)), away)
    far = dataclasses.replace(inputs, t1w_brain=image, t1w_mask=image, t1w_dseg=image)
    with pytest.raises(InputError, match="DWI and T1w must overlap"):
        check_inputs(far)


def test_mrtrix3_asked_for_and_absent_names_the_package(inputs: DwiInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(InputError, match="apt install mrtrix3"):
        check_inputs(dataclasses.replace(inputs, engine="mrtrix3"))
    assert choose_engine("auto") == "dipy"
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    assert choose_engine("auto") == choose_engine("mrtrix3") == "mrtrix3"
    assert choose_engine("dipy") == "dipy"


def test_unknown_phase_encoding_is_told_with_what_it_costs(inputs: DwiInputs) -> None:
    table = small_table()
    notes = notes_on(dataclasses.replace(inputs, phase_encoding=None), table)
    assert len(notes.warnings) == 1
    assert "neither susceptibility distortion nor eddy currents" in notes.warnings[0]
    assert not notes_on(inputs, table).warnings
    assert "no reverse-encoded b0" in notes_on(inputs, table).not_used[0]


def test_few_directions_are_told(inputs: DwiInputs) -> None:
    table = check_gradients(np.array([0.0, 1000, 1000, 1000]), np.vstack([np.zeros(3), np.eye(3)]))
    assert "Only 3 distinct directions" in notes_on(inputs, table).warnings[0]


def test_partner_must_be_opposite_and_on_the_same_grid(inputs: DwiInputs, tmp_path: Path) -> None:
    partner = write(tmp_path / "pa.nii.gz", np.ones(SHAPE))
    usable = dataclasses.replace(inputs, reverse=partner)
    assert reverse_usable(usable) == ""
    assert usable.opposite == "j"
    same = dataclasses.replace(usable, reverse_phase_encoding="j-")
    assert "not the opposite" in reverse_usable(same)
    assert "not the opposite" in notes_on(same, small_table()).warnings[0]
    assert "not the opposite" in reverse_usable(dataclasses.replace(usable, reverse_phase_encoding="i"))
    assert "not known" in reverse_usable(dataclasses.replace(usable, phase_encoding=None))
    other = write(tmp_path / "other.nii.gz", np.ones((8, 9, 6)))
    assert "another grid" in reverse_usable(dataclasses.replace(usable, reverse=other))


def test_a_few_nan_voxels_are_mended_and_many_refused(inputs: DwiInputs) -> None:
    data = np.asarray(nib.load(inputs.dwi).dataobj)
    data[3, 4, 2, 7] = np.nan
    write(inputs.dwi, data)
    read, _, notes = read_series(inputs.dwi)
    assert not read[3, 4, 2].any()
    assert np.isfinite(read).all()
    assert notes == ["1 voxels that were NaN or infinite in some volume were set to zero in all."]
    data[:4, :, :, 7] = np.inf
    write(inputs.dwi, data)
    with pytest.raises(InputError, match="NaN or infinite"):
        read_series(inputs.dwi)


def test_empty_volume_and_truncated_file(inputs: DwiInputs) -> None:
    data = np.asarray(nib.load(inputs.dwi).dataobj)
    data[..., 19] = 0
    write(inputs.dwi, data)
    with pytest.raises(InputError, match="volume 19 of 20"):
        read_series(inputs.dwi)
    inputs.dwi.write_bytes(inputs.dwi.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"Copy (the file|or convert it) again"):
        read_series(inputs.dwi)


def test_volumes_of_a_partner_are_averaged(tmp_path: Path) -> None:
    volumes = np.stack([np.full(SHAPE, 10.0), np.full(SHAPE, 20.0)], axis=-1)
    volumes += np.random.default_rng(0).standard_normal(volumes.shape)
    path = write(tmp_path / "pa.nii.gz", volumes)
    mean = mean_of_reverse(path, np.ones(SHAPE, bool), ((8.0, 500, 2),))
    assert mean.shape == SHAPE
    assert 12 < mean.mean() < 18
    single = mean_of_reverse(write(tmp_path / "one.nii.gz", volumes[..., :1]), np.ones(SHAPE, bool), ())
    np.testing.assert_allclose(single, volumes[..., 0], rtol=1e-5)


def test_phase_axis_in_the_world() -> None:
    affine = np.array([[0, -2.0, 0, 0], [3.0, 0, 0, 0], [0, 0, 4.0, 0], [0, 0, 0, 1]])
    found = phase_axis("i-", affine)
    assert found is not None
    assert found[0] == 0
    np.testing.assert_allclose(found[1], [0, 1, 0])
    assert phase_axis(None, affine) is None
