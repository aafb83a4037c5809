"""Evaluation and gate: what speaks against a fit is found, and nothing speaks against a good one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.signal import butter, filtfilt

from bids_ai.errors import InputError
from bids_ai.surrogate.autocorrelation import autocorrelation
from bids_ai.surrogate.base import FamilyFit, FitSettings, HeldOut
from bids_ai.surrogate.families.ridge_var import fit_ridge, linear_var
from bids_ai.surrogate.fit import fit_recordings
from bids_ai.surrogate.gate import judge, least_free_fc_r
from bids_ai.surrogate.prepare import prepare
from bids_ai.surrogate.spectrum import FILTERED_RATIO, high_frequency_ratio
from bids_ai.surrogate.validation import heldout_scores, keeps_nonlinear
from tests.surrogate.systems import coupling, fitted, linear_series, recording, saturating_series


def pink(n_times: int, n: int, seed: int) -> np.ndarray:
    """BOLD-like: 1/f noise with a white floor."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal((n_times, n)), axis=0)
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))[:, None]
    spectrum[0] = 0
    slow = np.fft.irfft(spectrum, n=n_times, axis=0)
    return slow / slow.std(0) + 0.3 * rng.standard_normal((n_times, n))


def test_a_coupled_system_is_reliable_and_its_scores_are_right() -> None:
    truth = coupling(8, 0)
    series = linear_series(truth, 2000, 1)
    fit = fitted(series)
    heldout = fit.evaluation["heldout"]
    # The innovations have SD 1: the best possible R2 of a region is 1 - 1 / var.
    assert_allclose(heldout["r2"], (1 - 1 / series.var(0)).mean(), atol=0.01)
    assert heldout["r2"] > heldout["r2_ar1"] > heldout["r2_persistence"]
    assert fit.evaluation["free_running"]["fc_r"] > 0.95
    assert fit.evaluation["free_running"]["lagged_covariance_r"] > 0.95
    assert fit.gate.verdict == "reliable"
    assert fit.gate.reasons == ()


@pytest.mark.parametrize("seed", range(5))
def test_white_noise_is_unreliable(seed: int) -> None:
    fit = fitted(np.random.default_rng(seed).standard_normal((600, 15)))
    assert not fit.gate.reliable
    assert any("cannot be predicted" in reason for reason in fit.gate.reasons)


@pytest.mark.parametrize("seed", range(3))
def test_independent_autocorrelated_regions_are_no_coupling(seed: int) -> None:
    fit = fitted(linear_series(np.eye(15) * 0.7, 600, seed))
    assert fit.evaluation["heldout"]["r2"] > 0.3
    assert any("own past predicts as well" in reason for reason in fit.gate.reasons)


def test_tiny_scans_are_unreliable() -> None:
    fit = fitted(linear_series(coupling(20, 0), 38, 0))
    assert any("35 usable samples for 20 regions" in reason for reason in fit.gate.reasons)


@pytest.mark.parametrize("tr", [0.72, 2.0])
def test_band_passed_bold_is_noticed(tr: float) -> None:
    raw = pink(400, 10, 0)
    b, a = butter(2, np.array([0.01, 0.1]) * 2 * tr, "band")
    filtered = fitted(filtfilt(b, a, raw, axis=0), tr=tr)
    assert any("look band-passed" in warning for warning in filtered.warnings)
    assert any("low-passed" in reason for reason in filtered.gate.reasons)
    assert not any("band-passed" in warning for warning in fitted(raw, tr=tr).warnings)


def test_high_pass_and_strong_autocorrelation_are_no_band_pass() -> None:
    b, a = butter(2, 0.01 * 2 * 2.0, "high")
    assert high_frequency_ratio([filtfilt(b, a, pink(400, 10, 1), axis=0)]) > 10 * FILTERED_RATIO
    assert high_frequency_ratio([linear_series(np.eye(5) * 0.97, 2000, 0)]) > 2 * FILTERED_RATIO


def test_spectrum_uses_uncensored_stretches_only() -> None:
    series = pink(400, 4, 0)
    series[::40] = np.nan
    assert high_frequency_ratio([series]) > FILTERED_RATIO
    series[::10] = np.nan
    assert np.isnan(high_frequency_ratio([series]))


def evaluation(**changes: dict) -> dict:
    good = {
        "heldout": {
            "r2": 0.5, "r2_se": 0.01, "r2_persistence": 0.1, "r2_ar1": 0.3, "r2_ar": 0.3, "r2_linear": 0.5,
            "gain_over_persistence": 0.4, "gain_over_ar1": 0.2, "gain_over_ar1_se": 0.01, "gain_over_ar": 0.2,
            "gain_over_ar_se": 0.01, "gain_over_linear": 0.0, "gain_over_linear_se": 0.0,
        },
        "training": {"heldout_over_train": 1.2},
        "stability": {"initialisation_r": 0.9},
        "free_running": {"fc_r": 0.9, "diverged": False},
        "sample": {"n_samples": 1000, "n_regions": 20, "effective_sample_size": 500},
        "spectrum": {"high_frequency_ratio": 0.3},
    }  # fmt: skip
    return {key: value | changes.get(key, {}) for key, value in good.items()}


def test_gate_opens_for_good_numbers() -> None:
    assert judge(evaluation(), 2.0).reliable


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"heldout": {"r2": 0.005}}, "cannot be predicted"),
        ({"heldout": {"r2": 0.05, "r2_se": 0.03}}, "cannot be predicted"),
        ({"heldout": {"r2": float("nan")}}, "cannot be predicted"),
        ({"heldout": {"gain_over_persistence": -0.1}}, "persistence"),
        ({"heldout": {"gain_over_ar1": 0.005, "gain_over_ar": 0.005}}, "own past"),
        ({"heldout": {"gain_over_linear": -0.02, "gain_over_linear_se": 0.01}}, "ridge VAR predicts better"),
        ({"training": {"heldout_over_train": 13.0}}, "13.0 times the training error"),
        ({"stability": {"initialisation_r": 0.58}}, "initialisations disagree"),
        ({"free_running": {"fc_r": float("nan"), "diverged": True}}, "diverge"),
        ({"free_running": {"fc_r": 0.2}}, "does not resemble"),
        ({"sample": {"n_samples": 30}}, "30 usable samples for 20 regions"),
        ({"spectrum": {"high_frequency_ratio": 1e-4}}, "low-passed"),
    ],
)
def test_gate_closes_for_each_fault_alone(changes: dict, reason: str) -> None:
    gate = judge(evaluation(**changes), 2.0)
    assert gate.verdict == "unreliable"
    assert len(gate.reasons) == 1
    assert reason in gate.reasons[0]


@pytest.mark.parametrize(
    ("other_half", "least"),
    [
        (None, 0.5),
        (1.0, 0.5),
        (0.6, 0.5 * np.sqrt(0.75)),  # reliability of the whole 1.2 / 1.6
        (0.0, 3 / np.sqrt(190)),  # no agreement: chance over 20 * 19 / 2 edges
        (-0.3, 3 / np.sqrt(190)),
    ],
)
def test_free_running_fc_is_judged_by_what_the_recording_says_of_itself(other_half: float | None, least: float) -> None:
    assert_allclose(least_free_fc_r(other_half, 20), least)
    for fc_r, reliable in ((least + 0.01, True), (least - 0.01, False)):
        free = {"fc_r": fc_r, "references": {"other_half": {"fc_r": other_half}}}
        assert judge(evaluation(free_running=free), 2.0).reliable is reliable


def test_few_edges_ask_for_no_more_than_half() -> None:
    assert least_free_fc_r(0.0, 3) == 0.5


@pytest.mark.parametrize("seed", range(5))
def test_a_free_run_without_coupling_does_not_resemble_a_weakly_coupled_recording(seed: int) -> None:
    from bids_ai.surrogate import evaluate

    series = linear_series(coupling(20, seed, density=0.1, radius=0.6), 150, seed)
    prepared = prepare(recording(series, name=f"weak{seed}"), 1, 5)
    settings = FitSettings(1, 1, torch.device("cpu"))
    ridge = fit_ridge([prepared], settings)[0]
    diagonal = torch.eye(20, dtype=torch.float64)[None] * 0.5
    # Held-out errors that are independent between regions: neither dynamics nor innovations hold coupling.
    noise = np.random.default_rng(seed + 100).standard_normal((prepared.n_samples, 20))
    alone = FamilyFit(
        (linear_var(diagonal),), 1, None, [], HeldOut(np.arange(len(noise)), prepared.next_frames() + noise), 1.0
    )
    reasons = {}
    for name, fit in (("ridge", ridge), ("alone", alone)):
        free = evaluate.free_running(prepared, fit, 1, torch.device("cpu"))
        assert free["references"]["other_half"]["fc_r"] < 0.5
        reasons[name] = judge(evaluation(free_running=free), 2.0).reasons
    assert reasons["ridge"] == ()
    assert "does not resemble" in reasons["alone"][0]


def test_steep_spectra_of_fast_signals_are_no_fault() -> None:
    assert judge(evaluation(spectrum={"high_frequency_ratio": 1e-4}), 0.004).reliable


def test_unstable_dynamics_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    from bids_ai.surrogate import evaluate

    series = linear_series(coupling(4, 0), 300, 0)
    prepared = prepare(recording(series), 1, 5)
    growing = linear_var(torch.eye(4, dtype=torch.float64)[None] * 1.3)
    fit = FamilyFit(
        (growing,), 1, None, [], HeldOut(np.arange(prepared.n_samples), np.zeros((prepared.n_samples, 4))), 1.0
    )
    free = evaluate.free_running(prepared, fit, 1, torch.device("cpu"))
    assert free["diverged"]
    assert np.isnan(free["fc_r"])


def test_scores_by_hand() -> None:
    # A model that is always right has R2 1; persistence and the mean are computed from the series itself.
    series = linear_series(coupling(3, 0), 200, 0)
    prepared = prepare(recording(series), 1, 5)
    following = prepared.next_frames()
    perfect = FamilyFit((), 1, None, [], HeldOut(np.arange(prepared.n_samples), following), 1e-3)
    useless = FamilyFit((), 1, None, [], HeldOut(np.arange(prepared.n_samples), 0 * following), 1.0)
    scores = heldout_scores(prepared, perfect, useless)
    assert scores["r2"] == 1.0
    assert scores["r2_linear"] == 0.0
    assert scores["r2_region"] == [1.0, 1.0, 1.0]
    z = (series - series.mean(0)) / series.std(0)
    persistence = 1 - ((z[1:] - z[:-1]) ** 2).sum() / (z[1:] ** 2).sum()
    assert_allclose(scores["r2_persistence"], persistence)
    assert keeps_nonlinear(scores)
    assert not keeps_nonlinear(heldout_scores(prepared, useless, useless))


def test_autocorrelation_by_hand() -> None:
    run = np.array([1.0, -1, 1, -1, 1, -1])[:, None]
    assert_allclose(autocorrelation([run], 2)[:, 0], [1, -1, 1])
    run[2] = np.nan  # pairs left at lag 1: (0,1) (3,4) (4,5); at lag 2: (1,3) (3,5)
    assert_allclose(autocorrelation([run], 2)[:, 0], [1, -1, 1])


@pytest.mark.slow
def test_nonlinear_model_is_kept_where_it_predicts_better_and_only_there() -> None:
    settings = {"model": "mlp", "ensemble": 3, "order_max": 1, "options": {"max_steps": 600}}
    nonlinear = fitted(saturating_series(10, 1500, 1), **settings)
    assert nonlinear.family == "mlp"
    heldout = nonlinear.evaluation["heldout"]
    assert 1 - heldout["r2"] < 0.9 * (1 - heldout["r2_linear"])
    assert nonlinear.evaluation["stability"]["initialisation_r"] > 0.7
    linear = fitted(linear_series(coupling(8, 0), 800, 0), **settings)
    assert linear.family == "ridge-var"
    assert linear.requested == "mlp"
    assert any("the linear model is returned" in warning for warning in linear.warnings)
    assert linear.evaluation["heldout"]["rejected"]["family"] == "mlp"


@pytest.mark.slow
def test_npi_preset_is_kept_and_judged_against_the_linear_model() -> None:
    fit = fitted(linear_series(coupling(8, 0), 300, 0), model="npi-mlp", ensemble=2)
    assert fit.family == "npi-mlp"
    assert fit.order == 3
    assert any("ridge VAR predicts better" in reason for reason in fit.gate.reasons)
    with pytest.raises(InputError, match="reads 3 lags"):
        fit_recordings([], model="npi-mlp", order_max=2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"order_max": 0}, "order_max"),
        ({"ensemble": 0}, "ensemble"),
        ({"n_folds": 2}, "n_folds"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"device": "tpu"}, "auto, cpu or cuda"),
    ],
)
def test_settings_that_fit_nothing_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_recordings([], **settings)


def test_recordings_need_unique_names() -> None:
    rec = recording(linear_series(coupling(3, 0), 100, 0))
    with pytest.raises(InputError, match="unique names"):
        fit_recordings([rec, rec])


def test_cuda_without_a_gpu_is_an_error() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(InputError, match="no CUDA GPU"):
        fit_recordings([], device="cuda")
    rec = recording(linear_series(coupling(3, 0), 100, 0))
    assert fit_recordings([rec], device="auto")[0].device == "cpu"  # type: ignore[union-attr]
