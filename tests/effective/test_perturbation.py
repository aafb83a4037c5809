"""Effective connectivity against the analytic answer of systems that have one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from bids_ai.effective.perturbation import horizon_steps, impulse_response, jacobian, push, push_members
from bids_ai.effective.reliability import bootstrap_standard_error, ensemble_standard_error
from bids_ai.errors import InputError
from bids_ai.surrogate import response
from bids_ai.surrogate.base import SurrogateModel
from bids_ai.surrogate.families.ridge_var import linear_var
from bids_ai.surrogate.fitted import FittedSurrogate
from tests.surrogate.systems import coupling, fitted, linear_series, offdiagonal_r


@pytest.fixture(scope="module")
def surrogate() -> FittedSurrogate:
    """A fit whose model the tests replace by one with a known answer."""
    return fitted(linear_series(coupling(4, 0), 300, 0))


def with_model(fit: FittedSurrogate, *models: SurrogateModel) -> FittedSurrogate:
    return dataclasses.replace(fit, models=models, order=models[0].order)


class Square(SurrogateModel):
    """x_j(t+1) = sum_i W[i, j] x_i(t)^2: the response to a push d of i is W[i, j] (2 d x_i + d^2)."""

    def __init__(self, weights: np.ndarray) -> None:
        super().__init__(len(weights), 1)
        self.register_buffer("weights", torch.as_tensor(weights))

    def step(self, history: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = history[..., -1, :].square() @ self.weights
        return out


def off(matrix: np.ndarray) -> np.ndarray:
    out = matrix.copy()
    out[..., np.arange(len(matrix[0])), np.arange(len(matrix[0]))] = np.nan
    return out


def test_linear_system_row_is_source(surrogate: FittedSurrogate) -> None:
    # Only region 0 drives region 2: the entry is [0, 2] and nothing else.
    weights = np.zeros((4, 4))
    weights[0, 2] = 0.7
    matrix = push(with_model(surrogate, linear_var(torch.as_tensor(weights)[None])))
    assert matrix[0, 2] == pytest.approx(0.7)
    assert np.nansum(np.abs(matrix)) == pytest.approx(0.7)
    assert np.isnan(np.diag(matrix)).all()


@pytest.mark.parametrize("size", [-2.0, 0.01, 1.0, 30.0])
@pytest.mark.parametrize("steps", [1, 4])
def test_push_equals_jacobian_on_a_linear_model(surrogate: FittedSurrogate, size: float, steps: int) -> None:
    # By brute force, not by the closed form: a linear model that does not say it is one.
    class Disguised(SurrogateModel):
        def __init__(self) -> None:
            super().__init__(4, 2)
            torch.manual_seed(0)
            self.register_buffer("weights", 0.3 * torch.randn(8, 4, dtype=torch.float64))

        def step(self, history: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = history.flatten(-2) @ self.weights
            return out

    model = Disguised()
    disguised = with_model(surrogate, model)
    plain = with_model(surrogate, linear_var(model.weights.reshape(2, 4, 4)))
    by_push = push(disguised, size_sd=size, horizon_steps=steps)
    assert_allclose(by_push, jacobian(disguised, horizon_steps=steps), atol=1e-10)
    assert_allclose(by_push, push(plain, size_sd=size, horizon_steps=steps), atol=1e-10)
    assert_allclose(by_push, jacobian(plain, horizon_steps=steps), atol=1e-10)


def test_impulse_response_of_a_first_order_system_is_its_powers(surrogate: FittedSurrogate) -> None:
    weights = coupling(4, 3)
    fit = with_model(surrogate, linear_var(torch.as_tensor(weights)[None]))
    out = impulse_response(fit, horizon_steps=3, diagonal=True)
    assert_allclose(out, [weights, weights @ weights, weights @ weights @ weights], atol=1e-12)
    assert_allclose(push(fit, horizon_steps=3), off(out.mean(axis=0)), atol=1e-12)
    assert np.isnan(impulse_response(fit)[:, range(4), range(4)]).all()


def test_impulse_response_of_a_second_order_system_by_simulation(surrogate: FittedSurrogate) -> None:
    rng = np.random.default_rng(0)
    older, newer = 0.3 * rng.standard_normal((2, 4, 4))
    fit = with_model(surrogate, linear_var(torch.as_tensor(np.stack([older, newer]))))
    out = impulse_response(fit, horizon_steps=5, diagonal=True)
    for source in range(4):
        before, now = np.zeros(4), np.eye(4)[source]
        for step in range(5):
            before, now = now, now @ newer + before @ older
            assert_allclose(out[step, source], now, atol=1e-12)


def test_nonlinear_response_is_the_mean_over_observed_states(surrogate: FittedSurrogate) -> None:
    weights = coupling(4, 5)
    fit = with_model(surrogate, Square(weights))
    states = fit.states()[:, -1]
    for size in (1.0, -0.5, 2.0):
        expected = weights * (2 * states.mean(0) + size)[:, None]
        assert_allclose(push(fit, size_sd=size, max_states=None), off(expected), atol=1e-10)
    derivative = weights * 2 * states.mean(0)[:, None]
    assert_allclose(jacobian(fit, max_states=None), off(derivative), atol=1e-10)


def test_given_states_are_used(surrogate: FittedSurrogate) -> None:
    weights = coupling(4, 5)
    fit = with_model(surrogate, Square(weights))
    state = np.array([[[1.0, -2.0, 0.5, 3.0]]])
    assert_allclose(push(fit, states=state), off(weights * (2 * state[0, 0] + 1)[:, None]), atol=1e-12)
    for bad in (np.zeros((2, 2, 4)), np.zeros((0, 1, 4)), np.full((2, 1, 4), np.nan)):
        with pytest.raises(InputError, match="states"):
            push(fit, states=bad)


def test_chunks_do_not_change_the_result(surrogate: FittedSurrogate, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = with_model(surrogate, Square(coupling(4, 5)))
    whole = push(fit, horizon_steps=2), jacobian(fit, horizon_steps=2)
    monkeypatch.setattr(response, "CHUNK_BYTES", 2000)
    assert_allclose(push(fit, horizon_steps=2), whole[0], atol=1e-10)
    assert_allclose(jacobian(fit, horizon_steps=2), whole[1], atol=1e-10)


def test_thinned_states_are_spread_over_the_recording(surrogate: FittedSurrogate) -> None:
    states = surrogate.states(10)
    assert len(states) == 10
    assert_array_equal(states[0], surrogate.states()[0])
    assert_array_equal(states[-1], surrogate.states()[-1])


def test_ensemble_is_averaged_and_its_spread_is_the_standard_error(surrogate: FittedSurrogate) -> None:
    matrices = [coupling(4, seed) for seed in range(3)]
    fit = with_model(surrogate, *(Square(matrix) for matrix in matrices))
    members = push_members(fit)
    assert members.shape == (3, 4, 4)
    assert_allclose(push(fit), members.mean(axis=0))
    expected = members.std(axis=0, ddof=1) / np.sqrt(3)
    assert_allclose(ensemble_standard_error(fit), expected)
    assert np.isnan(ensemble_standard_error(surrogate)).all()


def test_missing_regions_are_nan() -> None:
    series = linear_series(coupling(5, 0), 300, 0)
    series[:, 2] = np.nan
    full = push(fitted(series))
    assert np.isnan(full[2]).all()
    assert np.isnan(full[:, 2]).all()
    reduced = push(fitted(np.delete(series, 2, axis=1)))
    keep = [0, 1, 3, 4]
    assert_allclose(full[np.ix_(keep, keep)], reduced, atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size_sd": 0.0}, "other than zero"),
        ({"size_sd": float("inf")}, "finite"),
        ({"horizon_steps": 0}, "at least one step"),
        ({"device": "abacus"}, "Unknown device"),
    ],
)
def test_impossible_pushes_are_refused(surrogate: FittedSurrogate, settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        push(surrogate, **settings)


def test_horizon_in_seconds() -> None:
    assert horizon_steps(0.1, 0.004) == 25
    assert horizon_steps(0.1, 2.0) == 1
    with pytest.raises(InputError, match="positive seconds"):
        horizon_steps(0.1, 0.0)


def test_bootstrap_spread_is_that_of_repeated_recordings() -> None:
    truth = coupling(5, 0)
    fits = [fitted(linear_series(truth, 500, seed), order_max=1) for seed in range(30)]
    across = np.stack([push(fit) for fit in fits]).std(axis=0, ddof=1)
    within = np.stack([bootstrap_standard_error(fit, n_resamples=60) for fit in fits[:5]]).mean(axis=0)
    edges = ~np.eye(5, dtype=bool)
    assert_allclose(within[edges].mean(), across[edges].mean(), rtol=0.2)
    assert_array_equal(bootstrap_standard_error(fits[0]), bootstrap_standard_error(fits[0]))


def test_bootstrap_is_for_linear_surrogates(surrogate: FittedSurrogate) -> None:
    with pytest.raises(InputError, match="linear surrogates"):
        bootstrap_standard_error(with_model(surrogate, Square(np.eye(4))))


@pytest.mark.real
def test_direction_on_the_npi_benchmark(test_data: Path) -> None:
    from bids_ai.effective.symmetry import compare_with_truth

    series = np.load(test_data / "npi-rnn/dynamics_seed-00.npy")[:1200]
    truth = np.loadtxt(test_data / "npi-rnn/real_EC_seed-00.txt")
    matrix = push(fitted(series, tr=1.0))
    scores = compare_with_truth(matrix, truth)
    assert scores["r"] > 0.9
    assert scores["antisymmetric_r"] > 0.9
    assert scores["direction_accuracy"] > 0.85
    assert scores["r_transposed"] < 0.3
    assert offdiagonal_r(np.nan_to_num(matrix), truth) == pytest.approx(scores["r"])
