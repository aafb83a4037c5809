"""Static connectivity scores on small cases."""

from __future__ import annotations

import numpy as np
import pytest

from bids_ai.surrogate.metrics.connectivity import (
    antisymmetric_r,
    connectivity_scores,
    fc_similarity,
    moments,
    offdiagonal_r,
    offdiagonal_rmse,
)
from tests.surrogate.systems import coupling, linear_series


def test_channels_are_correlated_and_not_time_points() -> None:
    series = np.random.default_rng(0).standard_normal((50, 4))
    found = moments(series, lag=1)
    np.testing.assert_allclose(found.zero_lag, np.corrcoef(series[1:].T))
    assert found.zero_lag.shape == (4, 4)


def test_lagged_correlation_has_the_source_in_the_row() -> None:
    rng = np.random.default_rng(0)
    driver = rng.standard_normal(2000)
    series = np.column_stack([driver, np.r_[0, driver[:-1]], rng.standard_normal(2000)])
    lagged = moments(series).lagged
    assert lagged[0, 1] > 0.99
    assert abs(lagged[1, 0]) < 0.1


def test_pairs_do_not_cross_gaps_or_runs() -> None:
    series = np.random.default_rng(0).standard_normal((60, 3))
    gap = series.copy()
    gap[30] = np.nan
    np.testing.assert_allclose(moments(gap).lagged, moments([series[:30], series[31:]]).lagged)
    assert not np.allclose(moments(gap).lagged, moments(np.delete(series, 30, axis=0)).lagged)


def test_the_true_lagged_covariance_of_a_linear_system_is_recovered() -> None:
    # Lag-one covariance is C W for x(t+1) = x(t) W + noise.
    weights = coupling(5, 0)
    series = linear_series(weights, 60_000, 0)
    found, sd = moments(series), series.std(axis=0)
    expected = np.cov(series.T) @ weights / np.outer(sd, sd)
    np.testing.assert_allclose(found.lagged, expected, atol=0.02)


def test_scores_by_hand() -> None:
    a = np.array([[1.0, 0.1, 0.2], [0.3, 1.0, 0.4], [0.5, 0.6, 1.0]])
    assert offdiagonal_r(a, 2 * a + 1) == pytest.approx(1)
    assert offdiagonal_rmse(a, a + 0.25) == pytest.approx(0.25)
    assert antisymmetric_r(a, a.T) == pytest.approx(-1)
    assert np.isnan(offdiagonal_r(a, np.ones((3, 3))))
    assert np.isnan(antisymmetric_r(a, a + a.T))


def test_a_series_agrees_with_itself() -> None:
    own = moments(linear_series(coupling(5, 0), 300, 0))
    assert connectivity_scores(own, own) == pytest.approx(
        {"fc_r": 1, "fc_rmse": 0, "lagged_covariance_r": 1, "lagged_antisymmetric_r": 1}
    )


def test_the_similarity_of_the_review_is_high_for_unrelated_weak_fc() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 1000, 5))
    assert fc_similarity(a, a) == pytest.approx(1)
    assert fc_similarity(a, b) > 0.9  # which is why fc_r is reported beside it
    assert abs(offdiagonal_r(moments(a).zero_lag, moments(b).zero_lag)) < 0.7
