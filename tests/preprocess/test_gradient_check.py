"""Gradients turn with the head; flipped and swapped axes are found."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.testing import assert_allclose

from bids_ai.bids.gradients import GradientTable, read_gradients
from bids_ai.errors import InputError
from bids_ai.preprocess.gradients import CANDIDATES, Reorientation, check_orientation, reorient, rotate_by_motion
from tests.diffusion_phantom import Tubes, fibre_signal, oblique, scheme, tubes


def undone(found: Reorientation, planted: Reorientation) -> bool:
    product = found.matrix @ planted.matrix
    return bool(np.allclose(product, np.eye(3)) or np.allclose(product, -np.eye(3)))


@pytest.fixture(scope="module")
def phantom() -> tuple[GradientTable, Tubes]:
    table = scheme((1000, 32))
    return table, tubes(table, oblique(-1), count=10)


@pytest.mark.parametrize("planted", CANDIDATES, ids=str)
def test_every_planted_fault_is_found(planted: Reorientation, phantom: tuple[GradientTable, Tubes]) -> None:
    table, tube = phantom
    found = check_orientation(tube.data, reorient(table, planted), tube.affine, tube.mask)
    assert undone(found.best, planted), found.reason
    assert found.verdict == ("as given" if planted == Reorientation() else "reoriented")


def test_wrong_handedness_of_a_positive_determinant_is_found() -> None:
    # The classic fault: x not turned around where the affine has a positive determinant.
    table, affine = scheme((1000, 32)), oblique(1)
    tube = tubes(table, affine, count=10)
    found = check_orientation(tube.data, reorient(table, Reorientation(signs=(-1, 1, 1))), affine, tube.mask)
    assert found.verdict == "reoriented"
    assert found.best == Reorientation(signs=(-1, 1, 1))


def test_nothing_is_claimed_without_bundles_or_directions(phantom: tuple[GradientTable, Tubes]) -> None:
    table, tube = phantom
    noise = np.abs(np.random.default_rng(0).normal(100, 20, tube.data.shape))
    assert check_orientation(noise, table, tube.affine, tube.mask).verdict == "undecided"
    few = scheme((1000, 5))
    short = check_orientation(noise[..., : len(few)], few, tube.affine, tube.mask)
    assert short.verdict == "undecided"
    assert "5 directions" in short.reason
    with pytest.raises(InputError):
        check_orientation(noise, few, tube.affine, tube.mask)


def test_real_scan_with_13_directions(test_data: Path) -> None:
    stem = test_data / "bids-ds000114-dwi" / "sub-01" / "ses-test" / "dwi" / "sub-01_ses-test_dwi"
    image = nib.load(stem.with_suffix(".nii.gz"))
    data = np.asarray(image.dataobj, dtype=float)
    table = read_gradients(stem.with_suffix(".bval"), stem.with_suffix(".bvec"), data.shape[3])
    from dipy.segment.mask import median_otsu

    _, mask = median_otsu(data[..., table.unweighted].mean(axis=-1), median_radius=2, numpass=1)
    for planted in CANDIDATES[:8]:
        found = check_orientation(data, reorient(table, planted), image.affine, mask)
        assert undone(found.best, planted), found.reason
        assert found.z > 3


@pytest.mark.parametrize("det", [-1, 1])
def test_gradients_turn_with_the_head(det: int) -> None:
    # A fibre of the head, seen in a volume where the head is turned: explained in the frame of the head.
    table, affine = scheme((1000, 12)), oblique(det)
    rng = np.random.default_rng(2)
    motion = np.tile(np.eye(4), (len(table), 1, 1))
    for volume in range(len(table)):
        turn, _ = np.linalg.qr(np.eye(3) + 0.1 * rng.standard_normal((3, 3)))
        motion[volume, :3, :3] = turn * np.sign(np.diag(turn))  # near the identity
        motion[volume, :3, 3] = rng.normal(0, 2, 3)
    axis = np.array([0.36, 0.48, 0.8])
    measured = [
        fibre_signal(table.bvals[v : v + 1], table.world(affine)[v : v + 1], motion[v, :3, :3] @ axis)[0]
        for v in range(len(table))
    ]
    turned = rotate_by_motion(table, affine, motion)
    assert_allclose(fibre_signal(turned.bvals, turned.world(affine), axis), measured, atol=1e-12)
    assert np.abs(fibre_signal(table.bvals, table.world(affine), axis) - measured).max() > 0.01


def test_scaling_of_an_affine_motion_turns_nothing() -> None:
    table, affine = scheme((1000, 12)), oblique(-1)
    stretched = np.tile(np.diag([1.02, 0.97, 1.0, 1.0]), (len(table), 1, 1))
    assert_allclose(rotate_by_motion(table, affine, stretched).bvecs, table.bvecs, atol=1e-12)
    with pytest.raises(InputError, match="matrices"):
        rotate_by_motion(table, affine, stretched[:3])
