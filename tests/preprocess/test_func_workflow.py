from __future__ import annotations

import gzip
import os
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_ai.errors import InputError
from bids_ai.preprocess import bold_reference, func_report
from bids_ai.preprocess.bold_geometry import apply_matrix, grid_points, load, read_itk_affine
from bids_ai.preprocess.func import BoldOutputs, build_workflow, preprocess_bold
from bids_ai.preprocess.motion import (
    SLOPPY_LEVELS,
    RigidAligner,
    estimate_motion,
    framewise_displacement,
    motion_parameters,
    rigid_matrix,
    rigid_parameters,
)

from .bold_phantom import TR, Phantom, labels_at, left_grey, make_phantom


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Phantom:
    return make_phantom(tmp_path_factory.mktemp("phantom"), n_times=16)


@pytest.fixture(scope="module")
def outputs(phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> BoldOutputs:
    return preprocess_bold(phantom.inputs, tmp_path_factory.mktemp("Arbeit äöü") / "run 1", resolution_mm=4.0)


def brain_points(phantom: Phantom) -> np.ndarray:
    mask, affine = load(phantom.inputs.t1w_mask)
    return grid_points(mask.shape, affine, mask > 0)[::20].astype(float)


@pytest.mark.slow
def test_known_motion_is_found(phantom: Phantom, outputs: BoldOutputs) -> None:
    table = pd.read_csv(outputs.confounds, sep="\t", na_values="n/a")
    found = table[["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]].to_numpy()
    shape = nib.load(phantom.inputs.bold).shape[:3]
    centre = apply_matrix(phantom.bold_affine, (np.array(shape)[None] - 1) / 2)[0]
    true = np.array([rigid_parameters(m, centre) for m in phantom.motion])
    # The reference lies at some position of the run: what can be compared is the motion between frames.
    error = (found - found[2]) - (true - true[2])
    assert np.abs(error[2:, :3]).max() < 0.1  # mm
    assert np.rad2deg(np.abs(error[2:, 3:])).max() < 0.1


@pytest.mark.slow
def test_coregistration_and_motion_together_put_each_frame_on_the_t1w(phantom: Phantom, outputs: BoldOutputs) -> None:
    # T1w point -> reference -> frame 0, against the truth. Half a voxel of the 4 mm run would be 2 mm.
    points = brain_points(phantom)
    to_reference = np.linalg.inv(read_itk_affine(outputs.bold_to_t1w))
    table = pd.read_csv(outputs.confounds, sep="\t", na_values="n/a")
    shape = nib.load(phantom.inputs.bold).shape[:3]
    centre = apply_matrix(phantom.bold_affine, (np.array(shape)[None] - 1) / 2)[0]
    frame = 5
    parameters = table.loc[frame, ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]].to_numpy(float)
    found = apply_matrix(rigid_matrix(parameters, centre) @ to_reference, points)
    true = apply_matrix(phantom.motion[frame] @ np.linalg.inv(phantom.bold_to_t1w), points)
    assert np.linalg.norm(found - true, axis=1).max() < 0.8
    assert outputs.qc["nmi_after"] > outputs.qc["nmi_before"] + 0.02
    assert outputs.qc["coregistration"].startswith("mutual information, then boundary")
    assert outputs.qc["grey_white_contrast_percent"] > 2  # 16 % before the blur of 4 mm voxels; the sign is the point


@pytest.mark.slow
def test_series_arrive_in_the_right_place_of_the_template(phantom: Phantom, outputs: BoldOutputs) -> None:
    image = nib.load(outputs.bold_in_template)
    assert image.get_data_dtype() == np.float32
    assert image.header.get_zooms() == pytest.approx((4, 4, 4, TR))
    data = np.asarray(image.dataobj)
    mask = np.asarray(nib.load(outputs.brain_mask_in_template).dataobj) > 0
    points = apply_matrix(phantom.template_to_t1w, grid_points(data.shape[:3], image.affine).astype(float))
    here = left_grey(points).reshape(mask.shape) & mask
    mirrored = left_grey(points * [-1, 1, 1]).reshape(mask.shape) & mask
    left = data[here][:, 2:].mean(axis=0)
    right = data[mirrored][:, 2:].mean(axis=0)
    assert np.corrcoef(left, phantom.signal[2:])[0, 1] > 0.97
    # Half of the smallest amplitude that partial volume leaves of 3 %.
    assert (left / left.mean()).std() > 0.5 * phantom.signal[2:].std()
    assert (right / right.mean()).std() < 0.2 * phantom.signal[2:].std()
    dseg = np.asarray(nib.load(outputs.dseg_in_template).dataobj)
    assert dseg.shape == data.shape[:3]
    assert (dseg[here] == 1).mean() > 0.95


@pytest.mark.slow
def test_mask_covers_the_brain(phantom: Phantom, outputs: BoldOutputs) -> None:
    image = nib.load(outputs.brain_mask_in_template)
    mask = np.asarray(image.dataobj) > 0
    points = apply_matrix(phantom.template_to_t1w, grid_points(mask.shape, image.affine).astype(float))
    true = (labels_at(points) > 0).reshape(mask.shape)
    dice = 2 * (mask & true).sum() / (mask.sum() + true.sum())
    assert dice > 0.95


@pytest.mark.slow
def test_dummy_scans_are_marked_not_deleted(outputs: BoldOutputs) -> None:
    table = pd.read_csv(outputs.confounds, sep="\t", na_values="n/a")
    assert outputs.qc["dummy_scans"] == 2
    assert outputs.qc["dummy_scans_source"] == "detected"
    assert len(table) == 16
    assert table["non_steady_state_outlier_01"].to_numpy().nonzero()[0].tolist() == [1]
    assert (table.loc[:1, "a_comp_cor_00"] == 0).all()


@pytest.mark.slow
def test_quality_says_what_was_not_done(outputs: BoldOutputs) -> None:
    text = " ".join(outputs.qc["not_used"])
    assert "Slice timing was not corrected" in text
    assert "distortion" in text
    assert outputs.qc["slice_timing"] == "not corrected"
    assert outputs.qc["n_frames"] == 16
    # The nod of the phantom in the middle is the only large step.
    assert outputs.qc["n_frames_above_fd"] == 1
    assert set(outputs.qc["seconds"]) == {"prepare", "reference", "motion", "coregister", "resample", "confounds"}
    assert outputs.confounds_meta["a_comp_cor_00"]["VarianceExplained"] > 0


@pytest.mark.slow
def test_working_copies_are_gone(outputs: BoldOutputs) -> None:
    left = {path.name for path in outputs.bold_in_template.parent.iterdir()}
    assert "bold" not in left
    assert outputs.bold_in_template.is_file()


@pytest.mark.slow
def test_slice_timing_and_sbref_are_used(phantom: Phantom, tmp_path: Path) -> None:
    n_slices = 34
    times = np.arange(n_slices) * TR / n_slices
    nib.save(
        nib.Nifti1Image(np.asarray(nib.load(phantom.inputs.bold).dataobj[..., 3]), phantom.bold_affine),
        tmp_path / "sbref.nii.gz",
    )
    inputs = replace(phantom.inputs, slice_timing=times.tolist(), slice_encoding="k", sbref=tmp_path / "sbref.nii.gz")
    outputs = preprocess_bold(inputs, tmp_path / "work", resolution_mm=6.0, dummy_scans=2, n_threads=2, sloppy=True)
    assert outputs.qc["slice_timing"] == "corrected"
    assert outputs.qc["start_time_s"] == pytest.approx((times[0] + times[-1]) / 2)
    assert outputs.qc["dummy_scans_source"] == "given"
    assert not any("SBRef" in text for text in outputs.qc["not_used"])
    assert any("single-band" in text for text in outputs.qc["method"])


def broken(phantom: Phantom, folder: Path, data: np.ndarray) -> Path:
    path = folder / "broken_bold.nii.gz"
    nib.save(nib.Nifti1Image(data.astype(np.float32), phantom.bold_affine), path)
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tr": 0.0}, "RepetitionTime must be positive"),
        ({"tr": float("nan")}, "RepetitionTime must be positive"),
        ({"tr": 2000.0}, "not milliseconds"),
        ({"slice_timing": [0.0, 1.0]}, "34 slices, the sidecar 2"),
        ({"t1w_brain": None}, "t1w_brain is needed"),
        ({"t1w_dseg": Path("absent.nii.gz")}, "no such file"),
    ],
)
def test_bad_metadata_is_refused_before_any_work(phantom: Phantom, tmp_path: Path, change: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        preprocess_bold(replace(phantom.inputs, **change), tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_single_volume_is_refused(phantom: Phantom, tmp_path: Path) -> None:
    path = broken(phantom, tmp_path, np.ones((40, 48, 34)))
    with pytest.raises(InputError, match="at least two volumes"):
        preprocess_bold(replace(phantom.inputs, bold=path), tmp_path / "work")


def test_distant_bold_is_refused(phantom: Phantom, tmp_path: Path) -> None:
    affine = phantom.bold_affine.copy()
    affine[2, 3] += 300
    path = tmp_path / "far_bold.nii.gz"
    nib.save(nib.Nifti1Image(np.asarray(nib.load(phantom.inputs.bold).dataobj), affine), path)
    with pytest.raises(InputError, match="must overlap"):
        preprocess_bold(replace(phantom.inputs, bold=path), tmp_path / "work")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: data.__setitem__((3, 3, 3, 1), np.nan), "not finite"),
        (lambda data: data.__setitem__(..., data[..., :1]), "volumes are equal"),
        (lambda data: data.__setitem__((..., -1), 0), "volume 3 of 4 is empty"),
    ],
)
def test_bad_values_come_out_as_input_error(phantom: Phantom, tmp_path: Path, spoil: object, words: str) -> None:
    data = np.array(nib.load(phantom.inputs.bold).dataobj[..., :4])
    spoil(data)  # type: ignore[operator]
    before = Path.cwd()
    with pytest.raises(InputError, match=words):
        preprocess_bold(replace(phantom.inputs, bold=broken(phantom, tmp_path, data)), tmp_path / "work")
    assert Path.cwd() == before


def test_truncated_file_is_named(phantom: Phantom, tmp_path: Path) -> None:
    path = tmp_path / "short_bold.nii.gz"
    content = gzip.decompress(phantom.inputs.bold.read_bytes())
    path.write_bytes(gzip.compress(content[: len(content) // 2], compresslevel=1))
    with pytest.raises(InputError, match="short_bold"):
        preprocess_bold(replace(phantom.inputs, bold=path), tmp_path / "work")


def test_unreadable_transform_is_refused_before_any_work(phantom: Phantom, tmp_path: Path) -> None:
    # ANTs ends the whole process on such a file when it is asked to map points by it.
    transform = tmp_path / "t1w_to_template.h5"
    transform.write_text("git-annex pointer")
    with pytest.raises(InputError, match="not a readable ITK transform"):
        preprocess_bold(replace(phantom.inputs, t1w_to_template=transform), tmp_path / "work")


@pytest.mark.slow
def test_a_call_after_a_failure_goes_on_where_it_stopped(phantom: Phantom, tmp_path: Path) -> None:
    template = tmp_path / "template.nii.gz"
    template.write_text("a copy that was cut off")
    inputs = replace(phantom.inputs, template_t1w=template)
    arguments = {"resolution_mm": 6.0, "dummy_scans": 2, "sloppy": True}
    with pytest.raises(Exception, match="resample"):
        build_workflow(inputs, tmp_path / "work", **arguments).run(plugin="Linear")
    assert list((tmp_path / "work" / "crash").iterdir())
    finished = tmp_path / "work" / "bold" / "motion" / "matrices.npy"
    marked = np.load(finished)
    marked[0, 0, 3] += 1e-9
    # A mark in the finished step: it survives only if the step is not run again.
    np.save(finished, marked)
    template.write_bytes(phantom.inputs.template_t1w.read_bytes())
    build_workflow(inputs, tmp_path / "work", **arguments).run(plugin="Linear")
    assert np.array_equal(np.load(finished), marked)
    assert (tmp_path / "work" / "bold" / "resample" / "bold_in_template.nii.gz").is_file()


@pytest.mark.slow
def test_repeated_calls_give_equal_files(tmp_path: Path) -> None:
    inputs = make_phantom(tmp_path, n_times=10, n_dummy=0).inputs
    both = [
        preprocess_bold(inputs, tmp_path / name, resolution_mm=6.0, n_threads=n, sloppy=True)
        for name, n in (("one", 1), ("two", 2))
    ]
    assert both[0].bold_to_t1w.read_bytes() == both[1].bold_to_t1w.read_bytes()
    assert both[0].confounds.read_bytes() == both[1].confounds.read_bytes()
    first, second = (np.asarray(nib.load(outputs.bold_in_template).dataobj) for outputs in both)
    assert np.array_equal(first, second)


GOOD = {
    "mask_volume_ml": 1400.0,
    "tsnr_median": 70.0,
    "realignment_correlation_min": 0.99,
    "nmi_before": 1.0,
    "nmi_after": 1.03,
    "t1w_brain_in_field_of_view": 0.95,
    "grey_white_contrast_percent": 8.0,
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mask_volume_ml": 300.0}, "300 ml"),
        ({"tsnr_median": 9.0}, "tSNR of 9"),
        ({"realignment_correlation_min": 0.5}, "0.50"),
        ({"nmi_after": 1.0}, "mutual information"),
        ({"t1w_brain_in_field_of_view": 0.4}, "40%"),
        ({"grey_white_contrast_percent": -2.0}, "Grey matter is not brighter"),
    ],
)
def test_trouble_is_named(change: dict, words: str) -> None:
    assert func_report.warnings_of(GOOD, None) == []
    found = func_report.warnings_of(GOOD | change, None)
    assert len(found) == 1
    assert words in found[0]


@pytest.mark.real
@pytest.mark.slow
def test_a_real_run_is_read_and_realigned(tmp_path: Path) -> None:
    folder = os.environ.get("BIDS_AI_TEST_DATA")
    if not folder:
        pytest.skip("BIDS_AI_TEST_DATA is not set: no real BOLD run")
    run = Path(folder) / "bids-studyforrest/sub-02/func/sub-02_task-oneback_run-1_bold.nii.gz"
    series, affine = bold_reference.unpack(run, tmp_path / "series.f32")
    assert series.shape == (80, 80, 35, 156)
    signal = series.mean(axis=(0, 1, 2))
    assert bold_reference.detect_non_steady_state(signal) == 0
    mask = bold_reference.rough_mask(series[..., 78], affine)
    inside = series[mask]
    assert np.median(inside.mean(axis=1) / inside.std(axis=1)) == pytest.approx(67, abs=6)
    aligner = RigidAligner(series[..., 78], affine, mask, SLOPPY_LEVELS)
    matrices, correlations = estimate_motion(lambda t: series[..., t + 70], 16, aligner)
    assert correlations.min() > 0.98
    displacement = framewise_displacement(motion_parameters(matrices, aligner.centre))
    assert 0.03 < np.nanmedian(displacement) < 0.3  # a quiet subject
