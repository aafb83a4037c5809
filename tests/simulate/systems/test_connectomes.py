"""Generated connectomes: density, normalisation, geometry, seeds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from bids_ai.errors import InputError
from bids_ai.simulate.systems.connectomes import (
    dense_gaussian,
    distance_dependent,
    random_lognormal,
    ring,
    sparse_signed,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def off(matrix: np.ndarray) -> np.ndarray:
    return matrix[~np.eye(len(matrix), dtype=bool)]


@pytest.mark.parametrize(
    "make",
    [dense_gaussian, sparse_signed, random_lognormal, lambda n, g: distance_dependent(n, g).weights],
    ids=["dense", "sparse", "lognormal", "distance"],
)
def test_seeded_directed_and_without_diagonal(make: Callable[[int, np.random.Generator], np.ndarray]) -> None:
    weights = make(20, rng())
    assert_array_equal(weights, make(20, rng()))
    assert not np.array_equal(weights, make(20, rng(1)))
    assert (np.diag(weights) == 0).all()
    assert not np.allclose(weights, weights.T)


def test_dense_gaussian_has_the_published_spread() -> None:
    assert_allclose(off(dense_gaussian(60, rng())).std(), 1 / np.sqrt(60), rtol=0.06)  # 5 standard errors


def test_random_lognormal_is_normalised_per_target() -> None:
    weights = random_lognormal(30, rng(), density=0.2)
    assert_allclose(weights.sum(axis=0), 1.0)
    assert abs((weights > 0).sum() - round(0.2 * 870)) <= 2  # plus sources for targets that had none
    assert (weights >= 0).all()


def test_every_target_has_a_source_however_sparse() -> None:
    assert_allclose(random_lognormal(12, rng(), density=0.01).sum(axis=0), 1.0)


def test_sparse_signed_has_both_signs_and_a_bounded_gain() -> None:
    weights = sparse_signed(25, rng(), density=0.2, radius=0.4)
    assert (weights != 0).sum() == round(0.2 * 600)
    assert_allclose(np.linalg.norm(weights, 2), 0.4)
    assert (weights > 0).any()
    assert (weights < 0).any()
    present = np.abs(weights[weights != 0])
    assert present.max() / present.min() <= 3.0


def test_distance_dependent_falls_with_distance() -> None:
    connectome = distance_dependent(40, rng(), density=0.35)
    weights, distances = connectome.weights, connectome.distances_mm
    assert (weights > 0).sum() == round(0.35 * 40 * 39)
    assert_allclose(weights.sum() / 40, 1.0)
    present = weights > 0
    assert np.corrcoef(np.log(weights[present]), distances[present])[0, 1] < -0.3
    assert distances[present].mean() < off(distances).mean()
    assert weights[present].max() > 5 * np.median(weights[present])  # a heavy tail


def test_hemispheres_mirror_and_distances_are_those_of_the_positions() -> None:
    connectome = distance_dependent(40, rng())
    left, right = connectome.positions_mm[:20], connectome.positions_mm[20:]
    assert_allclose(left * np.array([-1, 1, 1]), right)
    assert (left[:, 0] < 0).all()
    assert_allclose(connectome.distances_mm[3, 27], np.linalg.norm(left[3] - right[7]))
    assert off(connectome.distances_mm).min() > 10  # mm: regions are spread
    assert connectome.distances_mm.max() < 180
    mirror = np.arange(20)
    weights = connectome.weights
    assert (weights[mirror, mirror + 20] > 0).mean() > (off(weights) > 0).mean()


def test_asymmetry_and_scaling_do_what_they_say() -> None:
    symmetric = distance_dependent(20, rng(), asymmetry=0.0, scaling=0.0).weights
    assert_allclose(symmetric, symmetric.T)
    even = distance_dependent(20, rng(), scaling=1.0).weights
    assert_allclose(even.sum(axis=0), 1.0)
    assert distance_dependent(20, rng(), scaling=0.0).weights.sum(axis=0).std() > 0.1


def test_delays_are_distance_over_speed() -> None:
    connectome = distance_dependent(10, rng())
    assert_allclose(connectome.delays_s(5.0), connectome.distances_mm / 5000.0)
    with pytest.raises(InputError, match="speed must be positive"):
        connectome.delays_s(0.0)


def test_ring_goes_from_source_to_target() -> None:
    weights = ring(5, (1,))
    assert_array_equal(weights.argmax(axis=1), [1, 2, 3, 4, 0])


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(InputError, match="even number"):
        distance_dependent(7, rng())
    with pytest.raises(InputError, match="share of the edges"):
        sparse_signed(5, rng(), density=20.0)
