"""Nonlinear dynamics within regions, linear coupling between them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from bids_ai.effective.perturbation import push
from bids_ai.surrogate.base import FamilyFit, FitSettings
from bids_ai.surrogate.families.local_nonlinear import LocalNonlinear
from bids_ai.surrogate.families.ridge_var import fit_ridge
from bids_ai.surrogate.fit import fit_recordings
from bids_ai.surrogate.fitted import FittedSurrogate
from bids_ai.surrogate.own_past import own_basis
from bids_ai.surrogate.partly_linear import CANDIDATES
from bids_ai.surrogate.prepare import prepare
from bids_ai.surrogate.recording import DEFAULT_ORDER_MAX, Recording
from bids_ai.surrogate.registry import get_family
from bids_ai.surrogate.response import derivative_response
from bids_ai.surrogate.selection import candidates
from tests.surrogate.systems import coupling, linear_series, offdiagonal_r

CPU = FitSettings(1, 1, torch.device("cpu"), {})


def limit_cycles(n_times: int, seed: int, n: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Return the coupling and the series of saturating oscillators with linear coupling at one lag."""
    rng = np.random.default_rng(seed)
    weights = 0.1 * rng.random((n, n)) * (rng.random((n, n)) < 0.3)
    np.fill_diagonal(weights, 0)
    noise = 0.1 * rng.standard_normal((n_times + 300, n))
    x = np.zeros_like(noise)
    x[:2] = rng.standard_normal((2, n))
    for t in range(2, len(x)):
        x[t] = 1.9 * np.tanh(x[t - 1]) - 0.95 * np.tanh(x[t - 2]) + x[t - 1] @ weights + noise[t]
    return weights, x[300:]


def electric(series: np.ndarray, name: str = "rec", modality: str = "eeg") -> Recording:
    return Recording(name, (series,), 0.004, tuple(f"r{i}" for i in range(series.shape[1])), modality=modality)


def raw_fit(series: np.ndarray, order: int = 3) -> FamilyFit:
    prepared = [prepare(electric(series), order, 5)]
    return get_family("local-nonlinear").fit(prepared, fit_ridge(prepared, CPU), CPU)[0]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_coupling_of_limit_cycles_is_recovered_better_than_by_ridge_var(seed: int) -> None:
    weights, series = limit_cycles(2000, seed)
    fits = {
        name: fit_recordings([electric(series)], model=name, order_max=3)[0]
        for name in ("local-nonlinear", "ridge-var")
    }
    scores = {}
    for name, fit in fits.items():
        assert isinstance(fit, FittedSurrogate)
        assert fit.family == name
        sd = fit.scaler.sd[0]
        scores[name] = offdiagonal_r(push(fit) * sd / sd[:, None], weights)
    assert scores["local-nonlinear"] > 0.9
    assert scores["local-nonlinear"] > scores["ridge-var"] + 0.03


def test_response_is_the_derivative_of_simulated_pushes() -> None:
    model = raw_fit(limit_cycles(600, 0)[1]).models[0]
    assert isinstance(model, LocalNonlinear)
    simulated = derivative_response(model, model.states, horizon=6)
    torch.testing.assert_close(model.analytic_response(6), simulated, rtol=1e-8, atol=1e-10)
    # and of a finite push that is small against the data
    size = 1e-5
    pushed = model.states.clone()
    pushed[:, -1, 2] += size
    change = (model.predict(pushed) - model.predict(model.states)).mean(0) / size
    torch.testing.assert_close(model.analytic_response(1)[0, 2], change, rtol=1e-3, atol=1e-4)


def test_every_candidate_is_in_the_table_and_one_is_chosen() -> None:
    fit = raw_fit(limit_cycles(600, 0)[1])
    assert [(row["penalty"], row["feature_penalty"]) for row in fit.selection] == list(CANDIDATES)
    (chosen,) = [row for row in fit.selection if row["selected"]]
    assert chosen["penalty"] == fit.penalty
    assert chosen["heldout_mse"] == min(row["heldout_mse"] for row in fit.selection)
    # Oscillators need the features.
    assert chosen["feature_penalty"] < max(feature for _, feature in CANDIDATES)


def test_table_of_candidates_holds_the_held_out_errors_of_the_predictions() -> None:
    # With at most 8 regions all targets are priced: the table and the predictions then are of the same models, but for
    # folds that chose otherwise.
    series = limit_cycles(800, 3, n=5)[1]
    prepared = prepare(electric(series), 3, 5)
    fit = get_family("local-nonlinear").fit([prepared], fit_ridge([prepared], CPU), CPU)[0]
    error = np.mean((prepared.next_frames() - fit.heldout.prediction) ** 2)
    chosen = next(row for row in fit.selection if row["selected"])
    assert error == pytest.approx(chosen["heldout_mse"], rel=0.02)


def test_linear_signals_keep_the_linear_model() -> None:
    for seed in range(3):
        fit = fit_recordings([electric(linear_series(coupling(6, seed), 600, seed))], model="local-nonlinear")[0]
        assert isinstance(fit, FittedSurrogate)
        assert fit.family == "ridge-var"
        assert any("does not predict better" in warning for warning in fit.warnings)


def test_free_running_series_stay_bounded_from_anywhere() -> None:
    model = raw_fit(limit_cycles(600, 0)[1]).models[0]
    far = 50.0 * torch.randn(4, 3, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    end = model.simulate(300, far)[:, -50:]
    # Within the observed range or near it: about 2 SD for oscillations; a linear part alone would have run away.
    assert float(end.abs().max()) < 6


def test_fits_of_the_same_data_are_equal() -> None:
    series = limit_cycles(400, 0)[1]
    first, second = (raw_fit(series).models[0].state_dict() for _ in range(2))
    for name, value in first.items():
        assert_array_equal(value.numpy(), second[name].numpy())


def test_the_basis_is_common_to_the_regions_and_does_not_depend_on_their_order() -> None:
    histories = torch.as_tensor(prepare(electric(limit_cycles(400, 0)[1]), 6, 5).histories(6))
    basis, shuffled = own_basis(histories), own_basis(histories[:, :, [3, 1, 0, 2, 7, 6, 5, 4]])
    torch.testing.assert_close(basis.directions, shuffled.directions, rtol=1e-6, atol=1e-8)
    assert torch.equal(basis.offsets, shuffled.offsets)


@pytest.mark.parametrize(("modality", "tried"), [("eeg", True), ("ieeg", True), ("bold", False)])
def test_the_automatic_choice_tries_it_on_electric_signals(modality: str, tried: bool) -> None:
    prepared = prepare(electric(limit_cycles(200, 0)[1], modality=modality), 3, 5)
    assert ("local-nonlinear" in candidates(prepared)) is tried


def test_the_largest_order_is_that_of_the_modality() -> None:
    recordings = [
        electric(linear_series(coupling(4, 0), 200, seed), name=modality, modality=modality)
        for seed, modality in enumerate(("eeg", "bold", "ieeg"))
    ]
    for fit in fit_recordings(recordings):
        assert isinstance(fit, FittedSurrogate)
        assert max(row["order"] for row in fit.selection) == DEFAULT_ORDER_MAX[fit.name]
    asked = fit_recordings(recordings, order_max=2)
    assert {max(row["order"] for row in fit.selection) for fit in asked if isinstance(fit, FittedSurrogate)} == {2}
