import gzip
import hashlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.simulate import folder, nifti

OBLIQUE = np.array([[0.0, -2.0, 0.0, 5.0], [1.9, 0.0, 0.624, -7.0], [-0.624, 0.0, 1.9, 9.0], [0.0, 0.0, 0.0, 1.0]])


def test_run_is_read_back_as_written(tmp_path):
    values = np.random.default_rng(0).integers(-5, 900, (5, 4, 3, 6)).astype(np.int16)
    path = tmp_path / "run.nii.gz"
    frames = (values[..., t] for t in range(6))
    nifti.write_frames(path, frames, values.shape, values.dtype, OBLIQUE, repetition_time_s=1.5)
    image = nib.load(path)
    assert np.array_equal(np.asarray(image.dataobj), values)
    np.testing.assert_allclose(image.affine, OBLIQUE, atol=1e-5)
    np.testing.assert_allclose(image.get_qform(), OBLIQUE, atol=1e-2)
    assert image.header.get_zooms()[3] == pytest.approx(1.5)
    assert image.header.get_xyzt_units() == ("mm", "sec")


def test_bytes_depend_on_the_values_alone(tmp_path):
    data = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    for name in ("first", "second"):
        nifti.write_volume(tmp_path / f"{name}.nii.gz", data, np.eye(4))
    digests = {hashlib.sha256((tmp_path / f"{n}.nii.gz").read_bytes()).hexdigest() for n in ("first", "second")}
    assert len(digests) == 1
    # Bytes 4 to 8 of gzip are the time, flag 8 a file name: neither may be there.
    raw = (tmp_path / "first.nii.gz").read_bytes()
    assert raw[3] == 0
    assert raw[4:8] == b"\0" * 4
    assert len(gzip.decompress(raw)) == 352 + data.nbytes


def test_slope_scales_what_is_read(tmp_path):
    nifti.write_volume(tmp_path / "p.nii.gz", np.full((2, 2, 2), 51, np.uint8), np.eye(4), slope=1 / 255)
    np.testing.assert_allclose(nib.load(tmp_path / "p.nii.gz").get_fdata(), 0.2, atol=1e-6)


def test_run_with_a_frame_too_few_is_refused(tmp_path):
    frames = [np.zeros((2, 2, 2), np.int16)] * 2
    with pytest.raises(ValueError, match="16 values"):
        nifti.write_frames(tmp_path / "x.nii.gz", frames, (2, 2, 2, 3), np.dtype(np.int16), np.eye(4))


def test_displacements_are_stored_for_itk(tmp_path):
    field = np.zeros((3, 3, 3, 3))
    field[..., 0], field[..., 1], field[..., 2] = 1.0, 2.0, 3.0
    nifti.write_displacements(tmp_path / "x.nii.gz", field, np.eye(4))
    image = nib.load(tmp_path / "x.nii.gz")
    assert image.shape == (3, 3, 3, 1, 3)
    assert int(image.header["intent_code"]) == 1007
    assert np.asarray(image.dataobj)[0, 0, 0, 0].tolist() == [-1.0, -2.0, 3.0]


def test_folder_appears_whole_or_not_at_all(tmp_path):
    out = tmp_path / "with space ü" / "ds"

    def broken() -> None:
        with folder.new_folder(out) as root:
            (root / "half").write_text("x")
            assert not out.exists()
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        broken()
    assert list(out.parent.iterdir()) == []
    with folder.new_folder(out) as root:
        (root / "whole").write_text("x")
    assert [path.name for path in out.parent.iterdir()] == ["ds"]
    assert (out / "whole").exists()
    # Readable by a group, as far as the user's own mask lets it be.
    assert out.stat().st_mode & 0o700 == 0o700


def test_empty_folder_is_used_and_a_full_one_is_kept(tmp_path):
    out = tmp_path / "ds"
    out.mkdir()
    with folder.new_folder(out) as root:
        (root / "a").write_text("mine")
    with pytest.raises(InputError, match="not empty"), folder.new_folder(out):
        pass
    assert (out / "a").read_text() == "mine"
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError), folder.new_folder(tmp_path / "file"):
        pass
    with pytest.raises(InputError, match="cannot be written"), folder.new_folder(tmp_path / "file" / "ds"):
        pass


def test_tables_say_missing(tmp_path: Path):
    folder.write_table(tmp_path / "t.tsv", ["a", "b"], [[1, float("nan")], ["x", 0.123456789]])
    assert (tmp_path / "t.tsv").read_text() == "a\tb\n1\tn/a\nx\t0.123457\n"
