from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.preprocess.templates import bundled_template, user_template


def test_bundled_template_on_one_grid_at_its_place(tmp_path: Path):
    template = bundled_template(tmp_path, 4.0)
    assert template.space == "MNI152NLin2009aSym"
    assert template.head is None
    images = [nib.load(path) for path in (template.t1w, template.mask, template.gm, template.wm)]
    assert len({image.shape for image in images}) == 1
    assert all(np.array_equal(image.affine, images[0].affine) for image in images)
    mask = np.asarray(images[1].dataobj) > 0
    # 1.89 l at 1 mm; a voxel of 4 mm rounds the surface.
    assert mask.sum() * 64 / 1e6 == pytest.approx(1.89, abs=0.05)
    centre = nib.affines.apply_affine(images[0].affine, np.argwhere(mask)).mean(axis=0)
    assert centre == pytest.approx([0, -19, 9], abs=6)
    for image in images[2:]:
        values = np.asarray(image.dataobj)
        assert values.min() >= 0
        assert values.max() <= 1.001
        assert not values[~mask].any()


def test_bundled_template_is_written_once(tmp_path: Path):
    first = bundled_template(tmp_path, 4.0)
    before = first.t1w.stat().st_mtime_ns
    assert bundled_template(tmp_path, 4.0) == first
    assert first.t1w.stat().st_mtime_ns == before
    assert not list(tmp_path.glob(".*"))


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    made = {}
    for name, value in (("t1w", 100.0), ("mask", 1.0), ("gm", 0.5), ("wm", 0.4), ("head", 120.0)):
        data = np.zeros((8, 8, 8), np.float32)
        data[2:6, 2:6, 2:6] = value
        made[name] = tmp_path / f"{name}.nii.gz"
        nib.save(nib.Nifti1Image(data, np.eye(4)), made[name])
    return made


def test_user_template_is_taken_as_given(files: dict[str, Path]):
    template = user_template(files["t1w"], files["mask"], "Mine", files["head"], files["gm"], files["wm"])
    assert (template.space, template.head, template.gm) == ("Mine", files["head"], files["gm"])
    assert "t1w.nii.gz" in template.origin


def test_user_template_with_a_fault_is_refused(files: dict[str, Path], tmp_path: Path):
    t1w, mask = files["t1w"], files["mask"]
    with pytest.raises(InputError, match="both tissue maps"):
        user_template(t1w, mask, "Mine", gm=files["gm"])
    with pytest.raises(InputError, match="not a file"):
        user_template(t1w, tmp_path / "absent.nii.gz", "Mine")
    with pytest.raises(InputError, match="probabilities"):
        user_template(t1w, mask, "Mine", gm=files["head"], wm=files["wm"])
    other = tmp_path / "other.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((8, 8, 8), np.float32), np.diag([2.0, 2, 2, 1])), other)
    with pytest.raises(InputError, match="another grid"):
        user_template(t1w, other, "Mine")
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 8), np.float32), np.eye(4)), other)
    with pytest.raises(InputError, match="no positive voxel"):
        user_template(t1w, other, "Mine")
    nib.save(nib.Nifti1Image(np.ones((8, 8, 8, 2), np.float32), np.eye(4)), other)
    with pytest.raises(InputError, match="3-D"):
        user_template(t1w, other, "Mine")
