"""Symmetry and direction statistics on matrices with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from bids_ai.effective.symmetry import (
    antisymmetric,
    asymmetry_index,
    compare_with_truth,
    describe,
    self_symmetry,
    symmetric,
)
from bids_ai.errors import InputError


def random(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, n))


def test_parts_add_up() -> None:
    matrix = random(5, 0)
    np.testing.assert_allclose(symmetric(matrix) + antisymmetric(matrix), matrix)
    np.testing.assert_allclose(antisymmetric(matrix), -antisymmetric(matrix).T)


def test_extremes() -> None:
    matrix = random(30, 0)
    assert self_symmetry(symmetric(matrix)) == pytest.approx(1)
    assert self_symmetry(antisymmetric(matrix)) == pytest.approx(-1)
    assert abs(self_symmetry(matrix)) < 0.1
    assert asymmetry_index(symmetric(matrix)) == pytest.approx(0)
    assert asymmetry_index(antisymmetric(matrix)) == pytest.approx(1)
    assert asymmetry_index(matrix) == pytest.approx(0.5, abs=0.07)


def test_described_by_hand() -> None:
    matrix = np.array([[np.nan, 1.0, -2.0], [3.0, np.nan, 4.0], [0.0, 5.0, np.nan]])
    out = describe(matrix)
    assert out["n_edges"] == 6
    assert out["fraction_negative"] == pytest.approx(1 / 6)
    assert out["mean"] == pytest.approx(11 / 6)
    # Antisymmetric parts -1, -1, -0.5; symmetric 2, -1, 4.5.
    assert out["asymmetry_index"] == pytest.approx(2.25 / (2.25 + 25.25))


def test_the_diagonal_and_missing_regions_do_not_count() -> None:
    matrix, truth = random(6, 0), random(6, 1)
    spoiled = matrix.copy()
    np.fill_diagonal(spoiled, 1e9)
    assert describe(spoiled) == describe(matrix)
    larger = np.full((7, 7), np.nan)
    larger[:6, :6] = matrix
    assert describe(larger) == describe(matrix)
    bigger_truth = np.zeros((7, 7))
    bigger_truth[:6, :6] = truth
    assert compare_with_truth(larger, bigger_truth) == compare_with_truth(matrix, truth)


def test_transposed_truth_scores_lower() -> None:
    truth = random(20, 0)
    estimate = truth + 0.3 * random(20, 1)
    right, wrong = compare_with_truth(estimate, truth), compare_with_truth(estimate.T, truth)
    assert right["r"] > 0.9 > 0.3 > wrong["r"]
    assert right["r_transposed"] == pytest.approx(wrong["r"])
    assert right["antisymmetric_r"] == pytest.approx(-wrong["antisymmetric_r"])
    assert right["direction_accuracy"] == pytest.approx(1 - wrong["direction_accuracy"])
    assert right["direction_accuracy"] > 0.8


def test_a_symmetric_estimate_has_no_direction() -> None:
    truth = random(20, 0)
    scores = compare_with_truth(symmetric(truth), truth)
    assert scores["r"] > 0.5
    assert np.isnan(scores["antisymmetric_r"])


def test_matrices_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="shapes"):
        compare_with_truth(random(3, 0), random(4, 0))
    with pytest.raises(InputError, match="square"):
        describe(np.zeros((3, 4)))
    assert np.isnan(describe(np.full((3, 3), np.nan))["mean"])
