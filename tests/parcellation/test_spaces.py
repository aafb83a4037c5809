from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.parcellation.atlas import Atlas
from bids_ai.parcellation.nodes import build_nodes
from bids_ai.parcellation.spaces import bring_to_template, register_templates, resample_labels, warp_labels
from tests.parcellation.conftest import AFFINE, SHAPE


def _atlas(labels: np.ndarray, affine: np.ndarray = AFFINE, space: str = "MNI152NLin6Asym") -> Atlas:
    n = int(labels.max())
    nodes = build_nodes(range(1, n + 1), [f"r{k}" for k in range(1, n + 1)])
    return Atlas({"atlas": "X"}, nib.Nifti1Image(labels, affine), nodes, space, "0" * 64, "", "", "")


def _blob(shift_mm: tuple[float, float, float] = (0, 0, 0), *, head: bool = False) -> nib.Nifti1Image:
    """Make an ellipsoid brain of three tissues on a 4 mm grid, 1.5 litres, shifted; with a scalp or without."""
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = -90
    ijk = np.indices((46, 46, 46))
    x, y, z = (4 * ijk[k] - 90 - shift_mm[k] for k in range(3))
    radius = np.sqrt((x / 62) ** 2 + (y / 80) ** 2 + (z / 70) ** 2)
    image = np.where(radius < 1, 60.0, 0) + 30 * (radius < 0.85) + 20 * ((radius > 0.3) & (radius < 0.4))
    image += 25 * (np.sin(x / 9) * np.sin(y / 11) * np.sin(z / 8)) * (radius < 0.95)
    if head:
        image = image + 40 * ((radius > 1.1) & (radius < 1.35)) + 3 * (radius <= 1.1)
    return nib.Nifti1Image(image.astype(np.float32), affine)


def test_nearest_labels_on_a_finer_and_a_flipped_grid(four_blocks: np.ndarray) -> None:
    image = nib.Nifti1Image(four_blocks, AFFINE)
    fine = AFFINE @ np.diag([0.5, 0.5, 0.5, 1])
    fine[:3, 3] -= 1  # voxel edges agree: each old voxel becomes 2 x 2 x 2 new ones
    grid = nib.Nifti1Image(np.zeros([2 * n for n in SHAPE], np.uint8), fine)
    expected = four_blocks.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    np.testing.assert_array_equal(np.asanyarray(resample_labels(image, grid).dataobj), expected)
    flip = AFFINE @ np.array([[-1, 0, 0, 9], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    flipped = resample_labels(image, nib.Nifti1Image(np.zeros(SHAPE, np.uint8), flip))
    np.testing.assert_array_equal(np.asanyarray(flipped.dataobj), four_blocks[::-1])


def test_outside_the_field_of_view_is_background(four_blocks: np.ndarray) -> None:
    away = AFFINE.copy()
    away[0, 3] = 14  # two voxels overlap with the last ones
    moved = np.asanyarray(
        resample_labels(nib.Nifti1Image(four_blocks, AFFINE), nib.Nifti1Image(np.zeros(SHAPE), away)).dataobj
    )
    np.testing.assert_array_equal(moved[:2], four_blocks[8:])
    assert not moved[2:].any()


def test_an_atlas_in_the_templates_space_and_grid_stays(tmp_path: Path, four_blocks: np.ndarray) -> None:
    atlas = _atlas(four_blocks)
    moved, how = bring_to_template(
        atlas, tmp_path / "unused.nii.gz", "MNI152NLin6Asym", grid=atlas.image, cache_dir=tmp_path
    )
    np.testing.assert_array_equal(np.asanyarray(moved.dataobj), four_blocks)
    assert how == "atlas-X is in the space of the template (MNI152NLin6Asym)."


def test_a_grid_of_four_dimensions_and_lost_regions_are_told(tmp_path: Path, four_blocks: np.ndarray) -> None:
    four_blocks[0, 0, 1] = 5  # one voxel, which the coarse grid steps over
    coarse = AFFINE @ np.diag([2.0, 2, 2, 1])
    path = tmp_path / "bold.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((5, 5, 3, 2), np.float32), coarse), path)
    moved, how = bring_to_template(
        _atlas(four_blocks), tmp_path / "unused.nii.gz", "MNI152NLin6Asym", grid=path, cache_dir=tmp_path
    )
    np.testing.assert_array_equal(np.asanyarray(moved.dataobj), four_blocks[::2, ::2, ::2])
    assert how.endswith("resampled to the working grid (nearest neighbour). Regions lost on this grid: r5.")


def test_without_a_template_of_its_space_coordinates_are_used(tmp_path: Path, four_blocks: np.ndarray) -> None:
    atlas = _atlas(four_blocks, space="MNI152NLin2009cAsym")
    moved, how = bring_to_template(
        atlas, tmp_path / "unused.nii.gz", "MNI152NLin6Asym", grid=atlas.image, cache_dir=tmp_path
    )
    np.testing.assert_array_equal(np.asanyarray(moved.dataobj), four_blocks)
    assert "from MNI152NLin2009cAsym to MNI152NLin6Asym by its coordinates alone" in how
    assert "no template of its space is at hand" in how


def test_without_an_image_of_the_working_template_coordinates_are_used(tmp_path: Path, four_blocks: np.ndarray) -> None:
    atlas = _atlas(four_blocks, space="MNI152NLin2009aSym")  # the bundled template is of its space
    moved, how = bring_to_template(atlas, None, "MNI152NLin6Asym", grid=atlas.image, cache_dir=tmp_path)
    np.testing.assert_array_equal(np.asanyarray(moved.dataobj), four_blocks)
    assert "no image of the working template is at hand" in how


def test_an_atlas_off_the_grid_is_refused(tmp_path: Path, four_blocks: np.ndarray) -> None:
    away = AFFINE.copy()
    away[:3, 3] += 500
    grid = nib.Nifti1Image(np.zeros(SHAPE), away)
    with pytest.raises(InputError, match="No region of atlas-X lies on the working grid"):
        bring_to_template(_atlas(four_blocks), tmp_path / "t.nii.gz", "MNI152NLin6Asym", grid=grid, cache_dir=tmp_path)
    with pytest.raises(InputError, match="the working template"):
        bring_to_template(_atlas(four_blocks), tmp_path / "t.nii.gz", "T1w", grid=grid, cache_dir=tmp_path)


def test_templates_are_registered_once_and_labels_follow(tmp_path: Path) -> None:
    fixed, moving = tmp_path / "fixed.nii.gz", tmp_path / "moving.nii.gz"
    nib.save(_blob(), fixed)
    nib.save(_blob((8, -8, 4)), moving)
    cache = tmp_path / "cache"
    # labels drawn on the moving template: octants of its brain
    image = _blob((8, -8, 4))
    centre = (np.array([8, -8, 4]) + 90) / 4
    i, j, k = np.indices(image.shape)
    octant = 1 + (i > centre[0]) + 2 * (j > centre[1]) + 4 * (k > centre[2])
    labels = np.where(image.get_fdata() > 20, octant, 0).astype(np.int16)
    atlas = _atlas(labels, image.affine)
    moved, how = bring_to_template(
        atlas, fixed, "MNI152NLin2009cAsym", grid=fixed, moving_template=moving, cache_dir=cache
    )
    assert "by a registration of the two templates (SyN)." in how
    truth = np.roll(labels, (-2, 2, -1), axis=(0, 1, 2))
    got = np.asanyarray(moved.dataobj)
    dice = 2 * ((got == truth) & (truth > 0)).sum() / ((got > 0).sum() + (truth > 0).sum())
    assert dice > 0.93  # without registration 0.72; edges of 4 mm voxels account for the rest
    times = {file: file.stat().st_mtime_ns for file in register_templates(fixed, moving, cache_dir=cache)}
    assert [file.name for file in times] == ["warp.nii.gz", "affine.mat"]
    again = {file: file.stat().st_mtime_ns for file in register_templates(fixed, moving, cache_dir=cache)}
    assert times == again
    assert len(list(cache.iterdir())) == 1


def test_head_and_brain_are_not_registered_to_each_other(tmp_path: Path, four_blocks: np.ndarray) -> None:
    fixed, moving, mask = (tmp_path / f"{n}.nii.gz" for n in ("fixed", "moving", "mask"))
    nib.save(_blob(head=True), fixed)
    nib.save(_blob((4, 0, 0)), moving)
    image = _blob()
    atlas = _atlas((image.get_fdata() > 20).astype(np.int16), image.affine)
    _, how = bring_to_template(
        atlas, fixed, "MNI152NLin2009cAsym", grid=fixed, moving_template=moving, cache_dir=tmp_path / "c"
    )
    assert "one template shows the head and the other the brain alone" in how
    nib.save(nib.Nifti1Image((image.get_fdata() > 0).astype(np.uint8), image.affine), mask)
    _, how = bring_to_template(
        atlas, fixed, "MNI152NLin2009cAsym", grid=fixed, moving_template=moving, cache_dir=tmp_path / "c",
        template_mask=mask,
    )  # fmt: skip
    assert "by a registration" in how


def test_warped_labels_are_labels(tmp_path: Path, four_blocks: np.ndarray) -> None:
    import ants

    turn = ants.create_ants_transform(transform_type="AffineTransform", dimension=3, matrix=np.diag([1.1, 0.9, 1.0]))
    ants.write_transform(turn, str(tmp_path / "turn.mat"))
    four_blocks[four_blocks == 4] = 400
    image = nib.Nifti1Image(four_blocks, AFFINE)
    for interpolation in ("genericLabel", "nearestNeighbor"):
        moved = warp_labels(image, image, [tmp_path / "turn.mat"], interpolation=interpolation)
        assert set(np.unique(np.asanyarray(moved.dataobj))) <= {0, 1, 2, 3, 400}
