from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.preprocess import bold_geometry as geometry
from bids_ai.preprocess import resampling
from bids_ai.preprocess.motion import rigid_matrix

AFFINE = np.diag([3.0, 3.0, 3.3, 1.0])


def test_default_resolution() -> None:
    assert resampling.output_resolution(AFFINE, None) == 3.0
    assert resampling.output_resolution(np.diag([1.5, 1.5, 1.5, 1]), None) == 2.0
    assert resampling.output_resolution(AFFINE, 4) == 4.0
    with pytest.raises(InputError):
        resampling.output_resolution(AFFINE, 0.0)


def test_output_grid_covers_the_template() -> None:
    affine = np.array([[2.0, 0, 0, -98], [0, 2, 0, -134], [0, 0, 2, -72], [0, 0, 0, 1]])
    same_shape, same = resampling.output_grid((99, 117, 95), affine, 2.0)
    assert same_shape == (99, 117, 95)
    assert np.array_equal(same, affine)
    shape, coarse = resampling.output_grid((99, 117, 95), affine, 3.0)
    assert shape == (66, 78, 63)  # 196 mm / 3 + 1, 232 / 3 + 1, 188 / 3 + 1, rounded down
    assert coarse[:3, 3] == pytest.approx(affine[:3, 3])
    assert geometry.voxel_sizes(coarse) == pytest.approx([3, 3, 3])


def test_each_frame_is_read_where_the_head_was() -> None:
    # A linear ramp is reproduced exactly by a spline: its value at a moved point is that of the point before.
    shape = (20, 20, 20)
    points = geometry.grid_points(shape, AFFINE).astype(float)
    weights = np.array([1.0, 2.0, -0.5])
    motions = np.array(
        [rigid_matrix(np.array([t * 0.7, 0, -t * 0.3, 0.01 * t, 0, 0]), np.full(3, 28.0)) for t in range(4)]
    )
    frames = [(geometry.apply_matrix(np.linalg.inv(m), points) @ weights).reshape(shape) for m in motions]
    targets = np.random.default_rng(0).uniform(20, 38, (50, 3))
    for n_threads in (1, 3):
        read = list(resampling.resample_series(frames.__getitem__, AFFINE, motions, [targets], n_threads=n_threads))
        assert len(read) == 4
        for (values,) in read:
            assert values == pytest.approx(targets @ weights, abs=0.02)  # the mirrored ends ring a little


def test_outside_the_field_of_view_is_zero() -> None:
    frames = [np.full((5, 5, 5), 7.0)]
    targets = np.array([[6.0, 6.0, 6.0], [100.0, 0.0, 0.0]])
    ((values,),) = resampling.resample_series(frames.__getitem__, AFFINE, np.eye(4)[None], [targets])
    assert values == pytest.approx([7, 0], abs=1e-4)


@pytest.mark.parametrize("name", ["out.nii.gz", "out.nii"])
def test_writer_makes_what_nibabel_reads(tmp_path: Path, name: str) -> None:
    data = np.random.default_rng(0).normal(size=(4, 5, 6, 3)).astype(np.float32)
    affine = rigid_matrix(np.array([1, 2, 3, 0.1, 0, 0.2]), np.zeros(3)) @ AFFINE
    with resampling.SeriesWriter(tmp_path / name, data.shape, affine, 1.5) as writer:
        for time in range(3):
            writer.append(data[..., time])
    image = nib.load(tmp_path / name)
    assert np.array_equal(np.asarray(image.dataobj), data)
    assert image.affine == pytest.approx(affine, abs=1e-5)
    assert image.header.get_zooms()[3] == 1.5
    assert image.header.get_xyzt_units() == ("mm", "sec")
    assert int(image.header["sform_code"]) == 4


def test_incomplete_series_leave_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="1 of 2 volumes"),
        resampling.SeriesWriter(tmp_path / "a.nii.gz", (2, 2, 2, 2), AFFINE, 2) as w,
    ):
        w.append(np.zeros((2, 2, 2)))
    with (
        pytest.raises(ValueError, match="expected a volume"),
        resampling.SeriesWriter(tmp_path / "a.nii.gz", (2, 2, 2, 2), AFFINE, 2) as w,
    ):
        w.append(np.zeros((2, 2, 3)))
    assert list(tmp_path.iterdir()) == []


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        with resampling.SeriesWriter(tmp_path / name, (2, 2, 2, 1), AFFINE, 2) as writer:
            writer.append(np.ones((2, 2, 2)))
    # The gzip header would hold the file's name and time.
    assert (tmp_path / "a.nii.gz").read_bytes()[:10] == (tmp_path / "b.nii.gz").read_bytes()[:10]
