from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.preprocess.anat_inputs import read_t1w

SHAPE = (24, 26, 28)


def write(path: Path, data: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nib.save(nib.Nifti1Image(data, np.diag([4.0, 4, 4, 1]) if affine is None else affine), path)
    return path


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).random(SHAPE).astype(np.float32) + 1


def test_axes_are_turned_without_resampling(tmp_path: Path, values: np.ndarray):
    affine = np.array([[0, 0, -4.0, 50], [-4, 0, 0, 40], [0, 4, 0, -30], [0, 0, 0, 1]])
    data, turned = read_t1w(write(tmp_path / "t1w.nii.gz", values, affine))
    assert nib.aff2axcodes(turned) == ("R", "A", "S")
    assert data.shape == (28, 24, 26)
    voxel = np.array([3, 5, 7, 1])
    back = np.rint(np.linalg.inv(turned) @ affine @ voxel).astype(int)
    assert data[tuple(back[:3])] == values[3, 5, 7]


def test_negative_values_are_lifted_and_a_single_frame_is_3d(tmp_path: Path, values: np.ndarray):
    data, _ = read_t1w(write(tmp_path / "t1w.nii.gz", (values - 1.5)[..., None]))
    assert data.shape == SHAPE
    assert data.min() == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: np.stack([v, v], -1), "one 3-D volume"),
        (lambda v: v[:, :, :2], "one 3-D volume"),
        (lambda v: np.where(v > 1.9, np.nan, v).astype(np.float32), "NaN"),
        (lambda v: np.where(v > 1.9, np.inf, v).astype(np.float32), "NaN or infinite"),
        (lambda v: np.zeros_like(v), "empty"),
        (lambda v: v.astype(np.complex64), "real numbers"),
    ],
)
def test_unusable_images_are_refused_with_the_reason(tmp_path: Path, values: np.ndarray, change, words: str):
    with pytest.raises(InputError, match=words):
        read_t1w(write(tmp_path / "t1w.nii.gz", change(values)))


def test_impossible_voxels_and_broken_files_are_refused(tmp_path: Path, values: np.ndarray):
    with pytest.raises(InputError, match="voxels of"):
        read_t1w(write(tmp_path / "t1w.nii.gz", values, np.diag([4.0, 4, 9, 1])))
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes((tmp_path / "t1w.nii.gz").read_bytes()[:2000])
    with pytest.raises(InputError, match="cannot be read"):
        read_t1w(broken)
