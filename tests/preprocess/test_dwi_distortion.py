"""The shift between two phase encodings of a small head with a known field."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from bids_ai.preprocess.dwi_distortion import estimate_shift, jacobian, unwarp
from bids_ai.preprocess.motion import rigid_matrix
from tests.preprocess.dwi_phantom import Head, bump, make_head

NO_GRADIENT = np.zeros(3)


@pytest.fixture(scope="module")
def head() -> Head:
    return make_head()


def pair(head: Head, shift: np.ndarray, ratio: float = 1.0, moved: np.ndarray | None = None) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    pose = np.eye(4) if moved is None else rigid_matrix(moved, np.zeros(3))
    images = [head.volume(0, NO_GRADIENT, np.eye(4), shift), head.volume(0, NO_GRADIENT, pose, -ratio * shift)]
    return [np.abs(image + 8 * rng.standard_normal(image.shape)).astype(np.float32) for image in images]


def rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))


@pytest.mark.parametrize("ratio", [1.0, 0.5])
def test_shift_is_found_whatever_the_readout_of_the_partner(head: Head, ratio: float) -> None:
    shift = bump()
    forward, reverse = pair(head, shift, ratio)
    found = estimate_shift(forward, reverse, head.affine, 1, head.brain, ratio=ratio, sloppy=True)
    inside = head.brain
    assert rms((found.shift - shift)[inside]) < 0.3 * rms(shift[inside])
    assert found.similarity["after"] > max(found.similarity["before"], 0.97)
    assert not found.warnings
    plain = head.volume(0, NO_GRADIENT, np.eye(4))
    undone = unwarp(forward, found.shift, 1)
    assert rms((undone - plain)[inside]) < 0.6 * rms((forward - plain)[inside])


def test_head_that_moved_between_the_two_is_no_distortion(head: Head) -> None:
    moved = np.array([0.8, 0, -0.6, 0.01, -0.012, 0.008])
    forward, reverse = pair(head, bump(), moved=moved)
    found = estimate_shift(forward, reverse, head.affine, 1, head.brain)
    assert_allclose(found.motion[[0, 2]], moved[[0, 2]], atol=0.25)
    # A turn about x or z looks much like a ramp of the field; the one about y does not.
    assert found.motion[4] == pytest.approx(moved[4], abs=0.004)
    assert found.motion[1] == pytest.approx(0, abs=0.05)
    assert rms((found.shift - bump())[head.brain]) < 0.35 * rms(bump()[head.brain])


def test_nothing_is_found_where_nothing_is(head: Head) -> None:
    forward, reverse = pair(head, np.zeros_like(bump()))
    found = estimate_shift(forward, reverse, head.affine, 1, head.brain, sloppy=True)
    assert rms(found.shift[head.brain]) < 0.1


def test_signal_is_kept(head: Head) -> None:
    """Piling up is undone: the sum along every line stays, away from the rim."""
    shift = bump()
    image = head.volume(0, NO_GRADIENT, np.eye(4), shift)
    undone = unwarp(image, shift, 1)
    lines = head.brain.any(axis=1)
    assert_allclose(undone.sum(axis=1)[lines], image.sum(axis=1)[lines], rtol=0.02)
    assert jacobian(shift, 1).min() > 0


def test_image_of_another_head_is_refused() -> None:
    first, other = make_head(0), make_head(9)
    forward, _ = pair(first, bump())
    noise = np.random.default_rng(0).permutation(other.volume(0, NO_GRADIENT, np.eye(4)).ravel()).reshape(forward.shape)
    found = estimate_shift(forward, noise.astype(np.float32), first.affine, 1, first.brain, sloppy=True)
    assert found.warnings
