"""MOU-EC, regression DCM, correlations and communicability against analytic answers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from bids_ai.effective.baselines.communicability import communicability
from bids_ai.effective.baselines.mou import _Problem, fit_mou, mou
from bids_ai.effective.baselines.registry import get_baseline
from bids_ai.effective.baselines.regression_dcm import invert, regression_dcm
from bids_ai.errors import InputError
from tests.effective.baselines.systems import chain, mou_coupling, mou_covariances, structured
from tests.surrogate.systems import coupling, linear_series, offdiagonal_r, recording

TAU, LAG = 2.0, 1.0


def mou_series(n_times: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    weights = mou_coupling(8, 0, TAU)
    zero, _, propagator = mou_covariances(weights, np.ones(8), TAU, LAG)
    root = np.linalg.cholesky(zero - propagator.T @ zero @ propagator)
    noise = np.random.default_rng(seed).standard_normal((n_times + 50, 8)) @ root.T
    series = np.zeros_like(noise)
    for t in range(1, len(series)):
        series[t] = series[t - 1] @ propagator + noise[t]
    return weights, series[50:]


def test_mou_is_recovered_from_its_covariances() -> None:
    weights = mou_coupling(8, 0, TAU)
    noise = np.linspace(0.5, 1.5, 8)
    zero, lagged, _ = mou_covariances(weights, noise, TAU, LAG)
    fit = fit_mou(zero, lagged, LAG, ~np.eye(8, dtype=bool))
    assert offdiagonal_r(fit.coupling, weights) > 0.995
    assert fit.time_constant == pytest.approx(TAU, rel=0.05)
    assert_allclose(fit.noise, noise, rtol=0.1)
    assert fit.mismatch < 0.01


def test_mou_gradient_is_that_of_finite_differences() -> None:
    from scipy.optimize import approx_fprime

    zero, lagged, _ = mou_covariances(mou_coupling(5, 2, TAU), np.ones(5), TAU, LAG)
    problem = _Problem(zero, lagged, LAG, ~np.eye(5, dtype=bool), 0.4, np.linspace(0.5, 1, 5))
    at = problem.start() + np.linspace(0.01, 0.03, 26)
    numeric = approx_fprime(at, lambda p: problem(p)[0], 1e-6)
    assert_allclose(problem(at)[1], numeric, atol=1e-5 * np.abs(numeric).max())


def test_mou_recovers_directed_coupling_from_series() -> None:
    weights, series = mou_series(10000, 0)
    fit = mou(recording(series, tr=LAG))
    assert offdiagonal_r(fit.coupling, weights) > 0.95
    assert offdiagonal_r(fit.coupling.T, weights) < 0.3
    assert (fit.coupling >= 0).all()


def test_mou_with_the_true_mask_is_better() -> None:
    weights, series = mou_series(1000, 1)
    masked = get_baseline("mou-ec").estimate(structured(series, (weights > 0).astype(float), tr=LAG))
    free = get_baseline("mou-ec").estimate(
        structured(series, (weights > 0).astype(float), tr=LAG), structural_mask=False
    )
    assert (masked[(weights == 0) & ~np.eye(8, dtype=bool)] == 0).all()
    assert offdiagonal_r(np.nan_to_num(masked), weights) > offdiagonal_r(np.nan_to_num(free), weights) + 0.02


def test_mou_needs_positive_autocorrelation() -> None:
    series = linear_series(np.diag([-0.5, -0.6, -0.7]), 300, 0)
    with pytest.raises(InputError, match="positive autocorrelation"):
        mou(recording(series))


def test_rdcm_is_the_regression_in_the_fourier_domain() -> None:
    # The published form: (exp(2 pi i m / N) - 1) / TR * Y_r(m) on Y(m), all frequencies. The product that joins the
    # last frame to the first is in it, so it is added here.
    tr, series = 2.0, linear_series(coupling(5, 0), 200, 0)
    scaled = (series - series.mean(0)) / series.std(0)
    n = len(scaled)
    spectrum = np.fft.fft(scaled, axis=0, norm="ortho")
    derivative = (np.exp(2j * np.pi * np.arange(n) / n) - 1)[:, None] * spectrum / tr
    ones = np.ones((5, 5), dtype=bool)
    fourier = invert(
        (spectrum.conj().T @ spectrum).real,
        (spectrum.conj().T @ derivative).real,
        (np.abs(derivative) ** 2).sum(axis=0),
        n,
        ones,
    )
    change = (np.roll(scaled, -1, axis=0) - scaled) / tr
    time = invert(scaled.T @ scaled, scaled.T @ change, (change**2).sum(axis=0), n, ones)
    assert_allclose(fourier.mean, time.mean, atol=1e-12)
    assert_allclose(fourier.sd, time.sd, atol=1e-12)
    # One product in 200 is all that our estimate lacks of it.
    assert_allclose(regression_dcm(recording(series, tr=tr)).mean, fourier.mean, atol=0.02)


def test_rdcm_posterior_satisfies_its_update_equations() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 4))
    y = x @ np.array([[-0.5, 0.3, 0, 0], [0, -0.6, 0, 0.2], [0, 0, -0.4, 0], [0.1, 0, 0, -0.5]]) + rng.standard_normal(
        (60, 4)
    )
    fit = invert(x.T @ x, x.T @ y, (y**2).sum(axis=0), 60, np.ones((4, 4), dtype=bool))
    for target in range(4):
        prior_mean = np.where(np.arange(4) == target, -0.5, 0.0)
        prior_precision = np.diag(np.where(np.arange(4) == target, 8 * 4.0, 4 / 8))
        tau = fit.noise_precision[target]
        covariance = np.linalg.inv(tau * x.T @ x + prior_precision)
        mean = covariance @ (tau * x.T @ y[:, target] + prior_precision @ prior_mean)
        assert_allclose(fit.mean[:, target], mean, atol=1e-8)
        assert_allclose(fit.sd[:, target], np.sqrt(np.diag(covariance)), atol=1e-8)
        error = np.sum((y[:, target] - x @ mean) ** 2) + np.trace(x.T @ x @ covariance)
        assert tau == pytest.approx((2 + 60 / 2) / (1 + error / 2), rel=1e-6)


def test_rdcm_recovers_a_continuous_system() -> None:
    # dx/dt = x J + noise, sampled finely against its time constants: the posterior mean is J, in Hz.
    rng = np.random.default_rng(3)
    rate = coupling(6, 4, radius=0.4) - 0.9 * np.eye(6)
    np.fill_diagonal(rate, -0.5)
    step, n_times = 0.1, 20000
    state, series = np.zeros(6), np.empty((n_times, 6))
    noise = np.sqrt(step) * rng.standard_normal((n_times, 6))
    for t in range(n_times):
        state = state + step * state @ rate + noise[t]
        series[t] = state
    fit = regression_dcm(recording(series, tr=step))
    sd = series.std(axis=0)
    truth = rate * sd[:, None] / sd[None, :]
    off = ~np.eye(6, dtype=bool)
    assert np.corrcoef(fit.mean[off], truth[off])[0, 1] > 0.9
    inside = np.abs(fit.mean - truth)[off] < 3 * fit.sd[off]
    assert inside.mean() > 0.9


def test_rdcm_keeps_to_the_mask() -> None:
    mask = np.ones((5, 5))
    mask[0, 1] = 0
    matrix = get_baseline("rdcm").estimate(structured(linear_series(chain(), 500, 0), mask))
    assert matrix[0, 1] == 0
    assert (matrix[mask == 0][np.isfinite(matrix[mask == 0])] == 0).all()
    assert (
        get_baseline("rdcm").estimate(structured(linear_series(chain(), 500, 0), mask), structural_mask=False)[0, 1] > 0
    )


def test_pearson_is_numpys() -> None:
    series = linear_series(coupling(5, 0), 300, 0)
    matrix = get_baseline("pearson").estimate(recording(series))
    off = ~np.eye(5, dtype=bool)
    assert_allclose(matrix[off], np.corrcoef(series.T)[off], atol=1e-12)


def test_partial_correlation_is_that_of_residuals() -> None:
    series = linear_series(coupling(4, 0), 20000, 0)
    matrix = get_baseline("partial-correlation").estimate(recording(series))
    scaled = (series - series.mean(0)) / series.std(0)
    others = scaled[:, 2:]
    residual = scaled[:, :2] - others @ np.linalg.lstsq(others, scaled[:, :2], rcond=None)[0]
    # Shrinkage is of the order of 1 / n_times.
    assert matrix[0, 1] == pytest.approx(np.corrcoef(residual.T)[0, 1], abs=2e-3)


def test_lagged_covariance_of_a_first_order_system() -> None:
    # E[x(t)' x(t + k)] = Q A^k with Q = A' Q A + I.
    from scipy.linalg import solve_discrete_lyapunov

    weights = coupling(4, 1)
    series = linear_series(weights, 40000, 0)
    expected = solve_discrete_lyapunov(weights.T, np.eye(4)) @ weights @ weights
    matrix = get_baseline("lagged-covariance").estimate(recording(series), lag=2)
    off = ~np.eye(4, dtype=bool)
    # Standard error of a covariance of these series over 40 000 frames: about 0.01.
    assert_allclose(matrix[off], expected[off], atol=0.04)


def test_communicability_of_two_connected_regions() -> None:
    # Normalised weight 1: exp of the exchange matrix, cosh 1 and sinh 1; a region apart reaches none.
    weights = np.array([[0, 7.0, 0], [7.0, 0, 0], [0, 0, 0]])
    expected = [[np.cosh(1), np.sinh(1), 0], [np.sinh(1), np.cosh(1), 0], [0, 0, 1]]
    assert_allclose(communicability(weights), expected, atol=1e-12)


def test_communicability_passes_through_regions_without_signal() -> None:
    series = linear_series(coupling(3, 0), 200, 0)
    series[:, 1] = np.nan
    weights = np.array([[0, 1.0, 0], [1.0, 0, 1.0], [0, 1.0, 0]])
    matrix = get_baseline("communicability").estimate(structured(series, weights))
    assert matrix[0, 2] == pytest.approx((np.cosh(1) - 1) / 2)


def test_directed_structure_stays_directed() -> None:
    series = linear_series(coupling(3, 0), 200, 0)
    weights = np.array([[0, 2.0, 0], [0, 0, 1.0], [0, 0, 0]])
    for name in ("structural", "structural-functional", "communicability"):
        matrix = get_baseline(name).estimate(structured(series, weights))
        assert abs(matrix[0, 1]) > 0
        assert matrix[1, 0] == 0
