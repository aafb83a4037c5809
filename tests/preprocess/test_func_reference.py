from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.preprocess import bold_reference as reference


def steady(n_times: int = 60) -> np.ndarray:
    return 1000 + np.random.default_rng(0).normal(0, 2, n_times)


@pytest.mark.parametrize("n_dummy", [0, 1, 3])
def test_non_steady_state_is_counted(n_dummy: int) -> None:
    signal = steady()
    signal[:n_dummy] *= np.linspace(1.3, 1.05, n_dummy) if n_dummy else 1
    assert reference.detect_non_steady_state(signal) == n_dummy


def test_a_later_spike_is_no_dummy_scan() -> None:
    signal = steady()
    signal[5] *= 1.3
    assert reference.detect_non_steady_state(signal) == 0


def test_small_drift_is_no_dummy_scan() -> None:
    # 0.5 % above the rest is many robust standard deviations of a quiet signal, yet no saturation.
    signal = 1000 + 0.01 * np.arange(60.0) % 0.03
    signal[:2] += 5
    assert reference.detect_non_steady_state(signal) == 0


def test_unpack_keeps_the_scaled_values(tmp_path: Path) -> None:
    data = np.random.default_rng(1).integers(0, 1000, (5, 6, 4, 3)).astype(np.int16)
    image = nib.Nifti1Image(data, np.diag([3, 3, 3, 1]))
    image.header.set_slope_inter(4.0, 10.0)
    nib.save(image, tmp_path / "bold.nii.gz")
    expected = np.asarray(nib.load(tmp_path / "bold.nii.gz").dataobj, np.float32)
    series, affine = reference.unpack(tmp_path / "bold.nii.gz", tmp_path / "series.f32")
    assert np.array_equal(series, expected)
    assert np.array_equal(affine, image.affine)
    again = np.memmap(tmp_path / "series.f32", np.float32, "r", shape=data.shape, order="F")
    assert np.array_equal(again, expected)


def test_a_fifth_axis_of_one_is_dropped(tmp_path: Path) -> None:
    data = np.random.default_rng(1).normal(size=(5, 6, 4, 3, 1)).astype(np.float32)
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "bold.nii.gz")
    series, _ = reference.unpack(tmp_path / "bold.nii.gz", tmp_path / "series.f32")
    assert np.array_equal(series, data[..., 0])


def test_text_is_no_image(tmp_path: Path) -> None:
    path = tmp_path / "bold.nii.gz"
    path.write_text("git-annex pointer")
    with pytest.raises(InputError, match="not a readable NIfTI"):
        reference.check_header(path)


def test_thin_images_are_refused(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.ones((9, 9, 1, 5), np.float32), np.eye(4)), tmp_path / "bold.nii.gz")
    with pytest.raises(InputError, match="fewer than 4 voxels"):
        reference.check_header(tmp_path / "bold.nii.gz")
