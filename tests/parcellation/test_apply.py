from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_ai.errors import InputError
from bids_ai.parcellation.apply import labels_to_native, region_series
from bids_ai.parcellation.nodes import build_nodes
from tests.parcellation.conftest import AFFINE, SHAPE

N_TIMES = 7


@pytest.fixture
def nodes() -> pd.DataFrame:
    return build_nodes([1, 2, 3, 4], ["L_a", "L_b", "R_a", "R_b"])


@pytest.fixture
def labels(four_blocks: np.ndarray) -> nib.Nifti1Image:
    return nib.Nifti1Image(four_blocks, AFFINE)


@pytest.fixture
def data() -> np.ndarray:
    return np.random.default_rng(4).normal(100, 5, (*SHAPE, N_TIMES))


def _image(data: np.ndarray) -> nib.Nifti1Image:
    return nib.Nifti1Image(data, AFFINE)


def _means(data: np.ndarray, labels: nib.Nifti1Image) -> np.ndarray:
    volume = np.asanyarray(labels.dataobj)
    return np.array([data[volume == k].mean(axis=0) for k in (1, 2, 3, 4)]).T


def test_means_of_regions_in_the_order_of_the_table(
    data: np.ndarray, labels: nib.Nifti1Image, nodes: pd.DataFrame
) -> None:
    result = region_series(_image(data), labels, nodes)
    assert result.series.shape == (N_TIMES, 4)
    assert result.series.dtype == np.float64
    np.testing.assert_allclose(result.series, _means(data, labels), rtol=1e-12)
    shuffled = nodes.iloc[[2, 0, 3, 1]].reset_index(drop=True)
    np.testing.assert_allclose(
        region_series(_image(data), labels, shuffled).series, result.series[:, [2, 0, 3, 1]], rtol=1e-12
    )
    assert result.coverage["coverage"].tolist() == [1.0] * 4
    assert result.coverage["reason"].tolist() == [None] * 4


def test_reading_a_compressed_scaled_file_in_chunks_changes_nothing(
    tmp_path: Path, data: np.ndarray, labels: nib.Nifti1Image, nodes: pd.DataFrame
) -> None:
    image = _image(data)
    image.header.set_data_dtype(np.int16)
    image.header.set_slope_inter(0.01, 0)
    path = tmp_path / "bold été.nii.gz"
    nib.save(image, path)
    stored = nib.load(path).get_fdata()
    frame = int(np.prod(SHAPE)) * 4
    for n_frames in (1, 3, 100):
        result = region_series(path, labels, nodes, chunk_bytes=n_frames * frame)
        np.testing.assert_allclose(result.series, _means(stored, labels), rtol=1e-12)


def test_voxels_without_signal_do_not_count(
    data: np.ndarray, labels: nib.Nifti1Image, nodes: pd.DataFrame, four_blocks: np.ndarray
) -> None:
    expected = _means(data, labels)
    first = np.argwhere(four_blocks == 1)
    data[tuple(first[0])] = 0  # outside the field of view
    data[tuple(first[1])] = 57.0  # constant, not zero: must leave the mean
    data[(*first[2], 3)] = np.nan  # one bad frame
    data[(*first[3], 0)] = np.inf
    good = np.mean([data[tuple(v)] for v in first[4:]], axis=0)
    for chunk in (1, 10**9):
        result = region_series(_image(data), labels, nodes, chunk_bytes=chunk)
        np.testing.assert_allclose(result.series[:, 0], good, rtol=1e-12)
        np.testing.assert_allclose(result.series[:, 1:], expected[:, 1:], rtol=1e-12)
        assert result.coverage["n_covered"].tolist() == [8, 12, 12, 12]


def test_a_region_below_the_smallest_coverage_is_missing_and_says_why(
    data: np.ndarray, labels: nib.Nifti1Image, nodes: pd.DataFrame, four_blocks: np.ndarray
) -> None:
    data[tuple(np.argwhere(four_blocks == 2)[:7].T)] = 0  # 5 of 12 left
    data[tuple(np.argwhere(four_blocks == 3)[:6].T)] = 0  # 6 of 12 left: exactly half
    nodes = build_nodes([1, 2, 3, 4, 9], ["L_a", "L_b", "R_a", "R_b", "ghost"])
    result = region_series(_image(data), labels, nodes, min_coverage=0.5)
    assert result.coverage["kept"].tolist() == [True, False, True, True, False]
    assert np.isnan(result.series).all(axis=0).tolist() == [False, True, False, False, True]
    assert np.isfinite(result.series[:, [0, 2, 3]]).all()
    reasons = result.coverage["reason"].tolist()
    assert reasons[1] == "42 % of its voxels have data, below 50 %"
    assert reasons[4] == "no voxel of the region on the grid"
    assert region_series(_image(data), labels, nodes, min_coverage=0.4).coverage["kept"].tolist()[1]


def test_a_region_without_any_data_is_missing_even_at_coverage_zero(
    data: np.ndarray, labels: nib.Nifti1Image, nodes: pd.DataFrame, four_blocks: np.ndarray
) -> None:
    data[four_blocks == 4] = 0
    result = region_series(_image(data), labels, nodes, min_coverage=0)
    assert not result.coverage["kept"].iloc[3]
    assert np.isnan(result.series[:, 3]).all()


def test_the_mask_limits_voxels(
    data: np.ndarray, labels: nib.Nifti1Image, nodes: pd.DataFrame, four_blocks: np.ndarray
) -> None:
    mask = np.ones(SHAPE, np.uint8)
    mask[:, :, 3] = 0
    result = region_series(_image(data), labels, nodes, mask=nib.Nifti1Image(mask, AFFINE))
    half = np.where(mask, four_blocks, 0)
    np.testing.assert_allclose(result.series, _means(data, nib.Nifti1Image(half, AFFINE)), rtol=1e-12)
    assert result.coverage["coverage"].tolist() == [0.5] * 4


def test_censored_frames_stay_as_missing_rows(data: np.ndarray, labels: nib.Nifti1Image, nodes: pd.DataFrame) -> None:
    expected = _means(data, labels)
    data[..., [2, 5]] = np.nan
    for chunk in (1, 10**9):
        result = region_series(_image(data), labels, nodes, chunk_bytes=chunk)
        assert np.isnan(result.series).all(axis=1).tolist() == [False, False, True, False, False, True, False]
        kept = [0, 1, 3, 4, 6]
        np.testing.assert_allclose(result.series[kept], expected[kept], rtol=1e-12)
        assert result.coverage["kept"].all()


def test_other_grids_are_refused(data: np.ndarray, labels: nib.Nifti1Image, nodes: pd.DataFrame) -> None:
    shifted = AFFINE.copy()
    shifted[0, 3] += 1.5
    with pytest.raises(InputError, match=r"up to 1.50 mm apart"):
        region_series(nib.Nifti1Image(data, shifted), labels, nodes)
    with pytest.raises(InputError, match="must share one grid"):
        region_series(_image(data[:-1]), labels, nodes)
    with pytest.raises(InputError, match="The mask"):
        region_series(_image(data), labels, nodes, mask=nib.Nifti1Image(np.ones(SHAPE, np.uint8), shifted))


def test_unusable_arguments_are_refused(
    tmp_path: Path, data: np.ndarray, labels: nib.Nifti1Image, nodes: pd.DataFrame
) -> None:
    with pytest.raises(InputError, match="4-D"):
        region_series(_image(data[..., 0]), labels, nodes)
    with pytest.raises(InputError, match="from 0 to 1, got 50"):
        region_series(_image(data), labels, nodes, min_coverage=50)
    with pytest.raises(InputError, match="lacks: 4"):
        region_series(_image(data), labels, nodes.iloc[:3])
    (tmp_path / "x.nii").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="cannot be read"):
        region_series(tmp_path / "x.nii", labels, nodes)


def test_a_truncated_file_says_where_it_ends(
    tmp_path: Path, data: np.ndarray, labels: nib.Nifti1Image, nodes: pd.DataFrame
) -> None:
    path = tmp_path / "bold.nii.gz"
    nib.save(_image(data), path)
    path.write_bytes(path.read_bytes()[:-15000])
    with pytest.raises(InputError, match="end or are damaged at frame"):
        region_series(path, labels, nodes, chunk_bytes=1)


def test_labels_in_native_space_by_a_known_shift(tmp_path: Path, four_blocks: np.ndarray) -> None:
    import ants

    # A transform takes points of the reference to the labels: the labels move by minus its translation.
    # ITK counts x to the left: +4 there takes the labels 4 mm, one voxel, to the right.
    shift = ants.create_ants_transform(transform_type="AffineTransform", dimension=3, translation=(4.0, 0, 0))
    ants.write_transform(shift, str(tmp_path / "shift.mat"))
    reference = tmp_path / "bold.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((*SHAPE, 3), np.float32), AFFINE), reference)
    output = tmp_path / "new" / "dseg.nii.gz"
    for invert, step in ((False, 1), (True, -1)):
        lost = labels_to_native(
            nib.Nifti1Image(four_blocks, AFFINE), reference, [tmp_path / "shift.mat"], output, invert=[invert]
        )
        written = nib.load(output)
        np.testing.assert_array_equal(np.asanyarray(written.dataobj), np.roll(four_blocks, step, axis=0))
        assert lost == []
        assert written.get_data_dtype() == np.int16
        assert int(written.header["sform_code"]) == 1
    assert [p.name for p in output.parent.iterdir()] == ["dseg.nii.gz"]


def test_labels_that_leave_the_native_grid_are_told(tmp_path: Path, four_blocks: np.ndarray) -> None:
    import ants

    still = ants.create_ants_transform(transform_type="AffineTransform", dimension=3)
    ants.write_transform(still, str(tmp_path / "still.mat"))
    reference = tmp_path / "t1w.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((5, *SHAPE[1:]), np.float32), AFFINE), reference)  # left half alone
    atlas = tmp_path / "atlas.nii.gz"
    nib.save(nib.Nifti1Image(four_blocks, AFFINE), atlas)
    assert labels_to_native(atlas, reference, [tmp_path / "still.mat"], tmp_path / "out.nii.gz") == [3, 4]
