"""Intervals that cover the true edge, false discovery rate, and silence where there are too few samples."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from bids_ai.effective.baselines.conditional_granger import conditional_granger
from bids_ai.effective.baselines.least_squares import LeastSquaresVAR, fit_var
from bids_ai.effective.inference import benjamini_hochberg, edge_inference, mean_response
from bids_ai.effective.perturbation import push
from bids_ai.effective.reliability import bootstrap_standard_error, ensemble_standard_error
from bids_ai.errors import InputError
from bids_ai.surrogate.base import SurrogateModel
from bids_ai.surrogate.families.ridge_var import linear_var
from bids_ai.surrogate.fit import fit_recordings
from bids_ai.surrogate.fitted import FittedSurrogate
from tests.surrogate.systems import (
    coupling,
    fitted,
    linear_series,
    recording,
    second_order_series,
    third_order_series,
)

N = 8
OFF = ~np.eye(N, dtype=bool)


def mean_power(weights: np.ndarray, horizon: int) -> np.ndarray:
    """True mean response of a VAR(1)."""
    out: np.ndarray = np.mean([np.linalg.matrix_power(weights, k) for k in range(1, horizon + 1)], axis=0)
    return out


def covered(fit: FittedSurrogate, truth: np.ndarray, horizon: int) -> np.ndarray:
    """Which off-diagonal true responses (signal units) lie in the interval."""
    edges = edge_inference(fit, horizon_steps=horizon)
    lower, upper = fit.signal_units(edges.lower), fit.signal_units(edges.upper)
    out: np.ndarray = ((lower <= truth) & (truth <= upper))[OFF]
    return out


@pytest.mark.parametrize("horizon", [1, 5])
def test_intervals_cover_the_true_edges(horizon: int) -> None:
    # 24 systems of 56 edges; over hundreds of seeds the share is .94 to .96, its standard error here about .01.
    inside = []
    for seed in range(24):
        weights = coupling(N, seed + 100)
        fit = fitted(linear_series(weights, 300, seed), order_max=2)
        inside.append(covered(fit, mean_power(weights, horizon), horizon))
    assert 0.92 < np.mean(inside) < 0.975


def test_intervals_cover_where_the_surrogate_shrinks() -> None:
    # Few frames: ridge VAR shrinks strong edges, and an interval around it would miss them.
    strong, by_ridge, by_interval = [], [], []
    for seed in range(24):
        weights = coupling(N, seed + 100)
        fit = fitted(linear_series(weights, 60, seed), order_max=1)
        true_edges = OFF & (np.abs(weights) > 0.1)
        half = 1.96 * bootstrap_standard_error(fit, n_resamples=40, n_blocks=10)
        inside = np.abs(fit.signal_units(push(fit)) - weights) <= fit.signal_units(half)
        strong.append(true_edges.sum())
        by_ridge.append(inside[true_edges].sum())
        by_interval.append(covered(fit, weights, 1)[true_edges[OFF]].sum())
    assert np.sum(by_ridge) / np.sum(strong) < 0.9
    assert 0.91 < np.sum(by_interval) / np.sum(strong) < 0.98


def test_a_second_lag_is_found_and_covered() -> None:
    first, second = 0.6 * coupling(N, 0), 0.35 * coupling(N, 9)
    inside = []
    for seed in range(10):
        fit = fitted(second_order_series(first, second, 500, seed), order_max=3)
        edges = edge_inference(fit, horizon_steps=2)
        assert edges.order == 2
        inside.append(covered(fit, (first + first @ first + second) / 2, 2))
    assert 0.91 < np.mean(inside) < 0.985


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_an_interval_does_not_depend_on_the_orders_that_a_family_tries(seed: int) -> None:
    # The third lag is too weak for prediction; sc-ridge has the order of ridge-var alone in its table, ou none above 1.
    first, third = 0.6 * coupling(6, seed), 0.2 * coupling(6, seed + 9)
    plain = recording(third_order_series(first, third, 400, seed))
    known = dataclasses.replace(plain, structural=np.abs(first) + 1e-3)
    fits = [fit_recordings([known], model=name, order_max=3)[0] for name in ("ridge-var", "sc-ridge", "ou")]
    for fit in fits:
        assert isinstance(fit, FittedSurrogate)
        assert fit.order == 1
        assert edge_inference(fit).order == 3


def test_false_discovery_rate_holds_with_absent_edges() -> None:
    # Over 200 seeds of 20 x 400 the rate is .05; 30 small systems have a standard error of about .012.
    rates, power = [], []
    for seed in range(30):
        weights = coupling(12, seed + 200, density=0.15)
        edges = edge_inference(fitted(linear_series(weights, 400, seed), order_max=2))
        absent = (weights == 0) & ~np.eye(12, dtype=bool)
        present = (weights != 0) & ~np.eye(12, dtype=bool)
        called = np.nan_to_num(edges.q, nan=1.0) < 0.05
        rates.append((called & absent).sum() / max(called.sum(), 1))
        power.append((called & present).sum() / present.sum())
    assert np.mean(rates) < 0.08
    assert np.mean(power) > 0.6


def test_p_is_about_direct_coupling_at_any_horizon() -> None:
    chain = np.diag(np.full(3, 0.4)) + np.diag(np.full(2, 0.6), k=1)
    fit = fitted(linear_series(chain, 2000, 0))
    near, far = edge_inference(fit), edge_inference(fit, horizon_steps=5)
    assert_array_equal(near.p, far.p)
    assert far.lower[0, 2] > 0  # it gets there, through region 1
    assert far.p[0, 2] > 0.05
    assert far.p[0, 1] < 1e-10


def test_p_is_that_of_conditional_granger() -> None:
    series = linear_series(coupling(5, 0), 300, 0)
    edges = edge_inference(fitted(series), order=2)
    expected = conditional_granger(recording(series), 2).p
    off = ~np.eye(5, dtype=bool)
    assert_allclose(edges.p[off], expected[off], rtol=1e-10)


@pytest.mark.parametrize(("order", "horizon"), [(1, 1), (1, 4), (2, 1), (2, 5), (3, 2)])
def test_delta_method_is_the_numeric_derivative(order: int, horizon: int) -> None:
    n = 3
    rng = np.random.default_rng(order)
    root = rng.standard_normal((order * n, order * n))
    noise = rng.standard_normal((n, n))
    fit = LeastSquaresVAR(
        0.4 * rng.standard_normal((order, n, n)), root @ root.T, noise @ noise.T + np.eye(n), 100, 100 - order * n
    )
    response, error = mean_response(fit, horizon)

    def respond(stacked: np.ndarray) -> np.ndarray:
        changed = dataclasses.replace(fit, coefficients=stacked.reshape(order, n, n))
        return mean_response(changed, horizon)[0].ravel()

    at, step = fit.coefficients.ravel(), 1e-6
    units = np.eye(len(at)) * step
    slopes = np.stack([(respond(at + unit) - respond(at - unit)) / (2 * step) for unit in units], axis=1)
    # Coefficients run over (lag and source, target): their covariance is the Kronecker product in that order.
    variance = slopes @ np.kron(fit.inverse_gram, fit.residual_cov) @ slopes.T
    assert_allclose(error.ravel(), np.sqrt(np.diag(variance)), rtol=1e-6)
    from bids_ai.surrogate.response import linear_response

    assert_allclose(response, linear_response(torch.as_tensor(fit.coefficients), horizon).mean(0), atol=1e-12)


def test_standard_error_at_one_step_is_that_of_regression() -> None:
    series = linear_series(coupling(4, 0), 200, 0)
    scaled = (series - series.mean(0)) / series.std(0)
    fit = fit_var(scaled, 1, 1, "rec")
    x, y = scaled[:-1], scaled[1:]
    residual = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    variance = np.outer(np.diag(np.linalg.inv(x.T @ x)), (residual**2).sum(0) / (199 - 4 - 1))
    assert_allclose(mean_response(fit, 1)[1], np.sqrt(variance), rtol=1e-10)


def test_too_few_samples_give_no_interval() -> None:
    fit = fitted(linear_series(coupling(N, 0), 24, 0), order_max=1, n_folds=3)
    edges = edge_inference(fit)  # 23 samples, 8 coefficients
    for matrix in (edges.estimate, edges.lower, edges.upper, edges.p, edges.q, edges.standard_error):
        assert matrix.shape == (N, N)
        assert np.isnan(matrix).all()
    assert edges.method == "none"
    assert "23 samples for 8 coefficients" in edges.notes[0]
    enough = edge_inference(fitted(linear_series(coupling(N, 0), 25, 0), order_max=1, n_folds=3))
    assert np.isfinite(enough.lower[OFF]).all()
    assert enough.method == "least-squares"
    assert "3.0 samples per coefficient: p and q values are slightly too small" in enough.notes[0]
    assert edge_inference(fitted(linear_series(coupling(N, 0), 81, 0), order_max=1)).notes == ()


def test_collinear_regions_give_no_interval_and_say_why() -> None:
    series = linear_series(coupling(4, 0), 300, 0)
    twins = np.column_stack([series, series[:, 0] + series[:, 1]])
    edges = edge_inference(fitted(twins))
    assert np.isnan(edges.upper).all()
    assert "linear combinations" in edges.notes[0]


def test_missing_regions_are_nan() -> None:
    series = linear_series(coupling(5, 0), 300, 0)
    series[:, 2] = np.nan
    edges = edge_inference(fitted(series))
    missing = np.eye(5, dtype=bool)
    missing[2] = missing[:, 2] = True
    for matrix in (edges.estimate, edges.standard_error, edges.lower, edges.upper, edges.p, edges.q):
        assert_array_equal(np.isnan(matrix), missing)


def test_a_wider_level_is_wider() -> None:
    fit = fitted(linear_series(coupling(4, 0), 300, 0))
    narrow, wide = edge_inference(fit, level=0.8), edge_inference(fit, level=0.99)
    off = ~np.eye(4, dtype=bool)
    assert (wide.lower[off] < narrow.lower[off]).all()
    assert_array_equal(wide.estimate, narrow.estimate)


class Squared(SurrogateModel):
    """x_j(t+1) = sum_i W[i, j] x_i(t)^2."""

    def __init__(self, weights: np.ndarray) -> None:
        super().__init__(len(weights), 1)
        self.register_buffer("weights", torch.as_tensor(weights))

    def step(self, history: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = history[..., -1, :].square() @ self.weights
        return out


def test_nonlinear_surrogates_give_the_spread_of_the_ensemble_and_say_what_it_is() -> None:
    from scipy.stats import t as student

    linear = fitted(linear_series(coupling(4, 0), 300, 0), order_max=1)
    members = tuple(Squared(coupling(4, seed)) for seed in range(3))
    fit = dataclasses.replace(linear, models=members, family="squared")
    edges = edge_inference(fit)
    off = ~np.eye(4, dtype=bool)
    assert edges.method == "ensemble"
    assert_allclose(edges.estimate[off], push(fit)[off])
    half = student.ppf(0.975, 2) * ensemble_standard_error(fit)
    assert_allclose((edges.upper - edges.estimate)[off], half[off])
    assert np.isnan(edges.p).all()
    assert np.isnan(edges.q).all()
    assert "3 initialisations of squared" in edges.notes[0]
    assert "no p values" in edges.notes[1]
    single = edge_inference(dataclasses.replace(fit, models=fit.models[:1]))
    assert single.method == "none"
    assert np.isnan(single.upper).all()
    assert np.isfinite(single.estimate[off]).all()


def test_any_linear_model_is_judged_by_the_series_behind_it() -> None:
    # The interval does not depend on how much the surrogate shrinks.
    fit = fitted(linear_series(coupling(4, 0), 300, 0), order_max=1)
    shrunk = dataclasses.replace(fit, models=(linear_var(torch.zeros(1, 4, 4, dtype=torch.float64)),))
    assert_array_equal(edge_inference(shrunk).lower, edge_inference(fit).lower)


def test_benjamini_hochberg_by_hand() -> None:
    # Sorted .01 .02 .03 .5 times 4 / rank: .04 .04 .04 .5, made monotone from the top.
    p = np.array([[np.nan, 0.02, 0.5], [0.01, np.nan, 0.03]])
    q = benjamini_hochberg(p)
    assert_allclose(q, [[np.nan, 0.04, 0.5], [0.04, np.nan, 0.04]])
    assert np.isnan(benjamini_hochberg(np.full((2, 2), np.nan))).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"level": 95}, "between 0 and 1"),
        ({"horizon_steps": 0}, "horizon must be an integer"),
        ({"order": 0}, "order must be an integer"),
    ],
)
def test_impossible_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        edge_inference(fitted(linear_series(coupling(4, 0), 300, 0)), **settings)
