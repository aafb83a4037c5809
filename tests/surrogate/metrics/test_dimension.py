"""Correlation dimension of sets whose dimension is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from bids_ai.surrogate.metrics.dimension import correlation_dimension, dimension_similarity


def test_line_plane_and_cube() -> None:
    # The edge bends the curve: in a unit square C(r) = pi r^2 - 8/3 r^3 + r^4 / 2, a slope of 1.95 over these radii.
    uniform = np.random.default_rng(0).random((2000, 3))
    assert correlation_dimension(uniform[:, :1] * [1, 2, 3], theiler=0) == pytest.approx(1, abs=0.05)
    assert correlation_dimension(uniform[:, :2] @ np.ones((2, 4)) + uniform[:, :2] @ np.eye(2, 4), theiler=0) == (
        pytest.approx(2, abs=0.1)
    )
    assert correlation_dimension(uniform, theiler=0) == pytest.approx(3, abs=0.25)


def lorenz(n: int) -> np.ndarray:
    def slope(_: float, x: np.ndarray) -> list[float]:
        return [10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]]

    times = 20 + 0.1 * np.arange(n)
    return solve_ivp(slope, (0, times[-1]), [1, 1, 20], t_eval=times, rtol=1e-8, atol=1e-8).y.T


def test_lorenz_attractor() -> None:
    # 2.05 +- 0.01 (Grassberger & Procaccia 1983) from far more points; 2000 points gave 1.99-2.03.
    assert correlation_dimension(lorenz(2000)) == pytest.approx(2.05, abs=0.08)


def test_neighbours_in_time_are_left_out() -> None:
    # White noise in 3 dimensions with every point repeated closely: without Theiler's window the repeats look like a
    # set of a lower dimension.
    rng = np.random.default_rng(0)
    walk = np.repeat(rng.random((400, 3)), 5, axis=0) + 1e-3 * rng.standard_normal((2000, 3))
    assert correlation_dimension(walk, theiler=0) < 1.5
    assert correlation_dimension(walk, theiler=5) > 1.5


def test_too_few_or_constant_states_have_no_dimension() -> None:
    assert np.isnan(correlation_dimension(np.zeros((500, 2))))
    assert np.isnan(correlation_dimension(np.random.default_rng(0).random((40, 2))))


def test_similarity() -> None:
    assert dimension_similarity(2.0, 2.0) == 1
    assert dimension_similarity(1.0, 3.0) == pytest.approx(0.5)
