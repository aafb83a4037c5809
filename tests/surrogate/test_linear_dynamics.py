"""Linear dynamics behind the signals: what `ou` and `state-space` recover, and what shared noise does to them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from bids_ai.dynamics.haemodynamics import boynton_kernel
from bids_ai.effective.perturbation import push
from bids_ai.effective.symmetry import compare_with_truth
from bids_ai.surrogate.families import ou
from bids_ai.surrogate.families.latent import LatentLinear, haemodynamic_gain
from bids_ai.surrogate.fit import fit_recordings
from bids_ai.surrogate.fitted import FailedFit, FittedSurrogate
from bids_ai.surrogate.penalty import strongest_within_one_se
from bids_ai.surrogate.recording import Recording
from bids_ai.surrogate.usable import FloatArray
from bids_ai.surrogate.whittle import whittle

STEPS = 20
"""Integration steps per frame."""


def fit(series: FloatArray, model: str, tr: float = 1.0, **options: object) -> FittedSurrogate:
    names = tuple(f"r{i}" for i in range(series.shape[1]))
    recording = Recording("test", (series,), tr, names, modality="bold")
    fitted = fit_recordings([dataclasses.replace(recording, **options)], model=model)[0]
    assert isinstance(fitted, FittedSurrogate), fitted
    return fitted


def ou_series(drift: FloatArray, loadings: FloatArray, n_frames: int, seed: int) -> FloatArray:
    """Frames one unit of time apart of dx = x J dt + dW, with Cov(dW) = (1 + L L') dt."""
    rng, n = np.random.default_rng(seed), len(drift)
    h = 1 / STEPS
    step = torch.linalg.matrix_exp(torch.as_tensor(drift * h)).numpy()
    state, frames = np.zeros(n), []
    for t in range((n_frames + 20) * STEPS):
        shared = rng.standard_normal(loadings.shape[1]) @ loadings.T
        state = state @ step + h**0.5 * (rng.standard_normal(n) + shared)
        if t % STEPS == STEPS - 1:
            frames.append(state)
    return np.array(frames[20:])


def coupled(n: int, seed: int) -> FloatArray:
    """Drift of a stable network with a quarter of the couplings."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((n, n)) * (rng.random((n, n)) < 0.25)
    np.fill_diagonal(weights, 0)
    return weights * 0.6 / np.abs(np.linalg.eigvals(weights)).max() - np.eye(n)


def recovery(fitted: FittedSurrogate, drift: FloatArray) -> float:
    truth = torch.linalg.matrix_exp(torch.as_tensor(drift)).numpy()
    return float(compare_with_truth(fitted.signal_units(push(fitted)), truth)["r"])


def test_transition_is_the_exponential_and_its_integral():
    drift = torch.as_tensor(coupled(6, 1))[None] * 2.5
    noise = torch.diag(torch.arange(1.0, 7.0, dtype=torch.float64))[None] + 0.5
    a, sigma = ou.transition(drift, noise)
    times = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    flow = torch.linalg.matrix_exp(drift * times[:, None, None])
    expected = (flow.mT @ noise @ flow).mean(0)
    torch.testing.assert_close(a[0], torch.linalg.matrix_exp(drift[0]), rtol=0, atol=1e-7)
    # The midpoint rule itself is off by about 1e-7 at 4000 steps.
    torch.testing.assert_close(sigma[0], expected, rtol=0, atol=1e-5)


def test_ou_takes_shared_noise_for_what_it_is(monkeypatch):
    drift = coupled(10, 2)
    loadings = np.abs(1 + 0.3 * np.random.default_rng(3).standard_normal((10, 1)))
    series = ou_series(drift, loadings, 1000, seed=4)
    with_shared = fit(series, "ou")
    assert with_shared.evaluation["fit"]["shared_noise_rank"] >= 1
    # Half of the noise is shared: mean of 1 / (1 + L^2), L about 1.
    assert with_shared.evaluation["fit"]["shared_noise_share"] == pytest.approx(0.5, abs=0.1)
    monkeypatch.setattr(ou, "RANKS", (0,))
    without = fit(series, "ou")
    ridge = fit(series, "ridge-var")
    assert recovery(with_shared, drift) > 0.9
    assert recovery(with_shared, drift) > recovery(ridge, drift) + 0.02
    assert recovery(without, drift) < recovery(ridge, drift)


def test_ou_finds_no_shared_noise_where_there_is_none():
    drift = coupled(10, 5)
    fitted = fit(ou_series(drift, np.zeros((10, 1)), 600, seed=6), "ou")
    assert fitted.evaluation["fit"]["shared_noise_rank"] == 0
    np.testing.assert_allclose(fitted.models[0].noise, np.diag(np.diag(fitted.models[0].noise)))
    assert recovery(fitted, drift) > 0.9


def test_ou_table_names_rank_and_penalty_and_one_choice():
    fitted = fit(ou_series(coupled(6, 7), np.zeros((6, 1)), 300, seed=8), "ou")
    assert sum(row["selected"] for row in fitted.selection) == 1
    assert {row["shared_noise_rank"] for row in fitted.selection} >= {0, 1}


def spectral_case() -> tuple[torch.Tensor, ...]:
    rng = torch.Generator().manual_seed(1)
    n, batch, bins = 3, 2, 4

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    drift = 0.3 * draw(batch, n, n) - 3 * torch.eye(n, dtype=torch.float64)
    root = draw(batch, n, n)
    noise = root @ root.mT + torch.eye(n)
    gain = torch.rand(batch, bins, generator=rng, dtype=torch.float64) + 0.1
    floor = 0.3 * torch.eye(n, dtype=torch.float64).expand(batch, n, n).contiguous()
    return drift, noise, gain, floor, draw(batch, n), 3 * torch.rand(bins, generator=rng, dtype=torch.float64)


def density_of(drift, noise, gain, floor, delay, omega):
    eye = torch.eye(drift.shape[-1], dtype=torch.complex128)
    transfer = torch.linalg.inv(1j * omega[:, None, None] * eye - drift.mT[:, None])
    inner = gain[..., None, None] * (transfer @ noise[:, None].to(torch.complex128) @ transfer.mH) + floor[:, None]
    behind = torch.exp(-1j * omega[:, None] * delay[:, None, :])
    return behind[..., :, None] * inner * behind.conj()[..., None, :]


def test_whittle_is_the_likelihood_of_the_density_and_has_its_gradient():
    case = spectral_case()
    *parameters, omega = case
    density = density_of(*case)
    weight = torch.rand(2, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    other = density_of(*spectral_case()[:-1], omega) + 0.2 * torch.eye(3)
    expected = (
        weight
        * (torch.logdet(density).real + (torch.linalg.inv(density) @ other).diagonal(dim1=-2, dim2=-1).sum(-1).real)
    ).sum(-1)
    torch.testing.assert_close(whittle(*parameters, omega, other, weight), expected)

    def value(drift, noise, gain, floor, delay):
        # A perturbed covariance has to stay symmetric.
        return whittle(drift, (noise + noise.mT) / 2, gain, (floor + floor.mT) / 2, delay, omega, other, weight)

    assert torch.autograd.gradcheck(value, [item.clone().requires_grad_() for item in parameters])


def test_predictor_of_a_latent_process_knows_delays():
    n = 2
    shared = torch.ones(n, n, dtype=torch.float64) + 0.1 * torch.eye(n)
    model = LatentLinear(n, 2, 1.0).set_parameters(
        -10 * torch.eye(n, dtype=torch.float64),
        1e3 * shared,
        torch.tensor(1.25, dtype=torch.float64),
        0.05 * torch.eye(n, dtype=torch.float64),
        torch.tensor([0.0, 1.0], dtype=torch.float64),
    )
    covariance = model._autocovariance(1)
    # Region 1 repeats region 0 one frame later: its next frame is known, that of region 0 less so.
    assert covariance[1, 1, 0] > covariance[1, 0, 1]
    assert covariance[1, 1, 0] == pytest.approx(float(covariance[0, 0, 0]) - 0.05, rel=0.1)


def bold_series(n: int, n_frames: int, delays: FloatArray, loadings: FloatArray, seed: int) -> FloatArray:
    """White neural noise, own and shared, under the Boynton kernel, seen every second with a delay per region."""
    rng, h = np.random.default_rng(seed), 0.05
    times = torch.arange(0, 30, h, dtype=torch.float64)
    kernel = boynton_kernel(times, tau_s=1.25).numpy() * h
    n_steps = int((n_frames + 60) / h)
    neural = rng.standard_normal((n_steps, n)) + rng.standard_normal((n_steps, loadings.shape[1])) @ loadings.T
    spectrum = np.fft.rfft(neural, axis=0) * np.fft.rfft(kernel, n_steps)[:, None]
    shift = np.exp(-2j * np.pi * np.fft.rfftfreq(n_steps, h)[:, None] * delays)
    bold = np.fft.irfft(spectrum * shift, n_steps, axis=0)[int(40 / h) :: int(1 / h)][:n_frames]
    bold /= bold.std(0)
    return bold + 0.3 * rng.standard_normal(bold.shape)


def test_state_space_tells_delays_of_regions_from_coupling():
    delays = np.linspace(-0.8, 0.8, 6)[[3, 0, 5, 1, 4, 2]]
    series = bold_series(6, 600, delays, 1.5 * np.ones((6, 1)), seed=9)
    model = fit(series, "state-space").models[0]
    assert isinstance(model, LatentLinear)
    estimated = model.delay_s.numpy()
    assert np.corrcoef(estimated, delays)[0, 1] > 0.95
    # The prior (SD 0.5 s) shrinks them a little.
    assert np.abs(estimated - estimated.mean() - delays).max() < 0.3


def test_state_space_takes_shared_sources_where_there_are_some():
    rng = np.random.default_rng(10)
    n = 18
    shared = fit(bold_series(n, 400, np.zeros(n), rng.standard_normal((n, 3)), seed=11), "state-space")
    apart = fit(bold_series(n, 400, np.zeros(n), np.zeros((n, 1)), seed=12), "state-space")
    assert shared.evaluation["fit"]["shared_neural_sources"] > 0
    assert apart.evaluation["fit"]["shared_neural_sources"] == 0


def test_haemodynamic_gain_is_that_of_the_kernel():
    omega = torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64)
    times = torch.arange(0, 60, 0.01, dtype=torch.float64)
    kernel = boynton_kernel(times, tau_s=1.25) * 0.01
    expected = (torch.exp(-1j * omega[:, None] * times) @ kernel.to(torch.complex128)).abs().square()
    gain = haemodynamic_gain(omega, torch.tensor([1.25], dtype=torch.float64))[0]
    torch.testing.assert_close(gain, expected, rtol=0.02, atol=1e-4)


def test_a_recording_cut_to_pieces_is_refused_with_what_to_do_and_the_others_go_on():
    whole = bold_series(6, 200, np.zeros(6), np.zeros((6, 1)), seed=13)
    pieces = whole.copy()
    pieces[60:140] = np.nan
    names = tuple("abcdef")
    recordings = [Recording(name, (x,), 1.0, names, modality="bold") for name, x in (("cut", pieces), ("ok", whole))]
    cut, fine = fit_recordings(recordings, model="state-space")
    assert isinstance(cut, FailedFit)
    assert "cut: 1 of 5 blocks" in cut.reason
    assert "ou or ridge-var" in cut.reason
    assert isinstance(fine, FittedSurrogate)
    chosen = fit_recordings(recordings[:1], model="auto")[0]
    assert isinstance(chosen, FittedSurrogate)
    assert any("state-space could not be fitted and was left out" in warning for warning in chosen.warnings)


def test_no_finite_likelihood_is_a_fault_of_the_recording():
    with pytest.raises(ArithmeticError, match="no strength of the prior"):
        strongest_within_one_se(torch.full((5, 3), torch.inf))
