"""The models against published behaviour."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from bids_ai.dynamics.base import Dynamics
from bids_ai.dynamics.hopf import Hopf
from bids_ai.dynamics.integrate import integrate, start
from bids_ai.dynamics.jansen_rit import JansenRit
from bids_ai.dynamics.linear import LinearOU, LinearVar
from bids_ai.dynamics.lorenz96 import Lorenz96
from bids_ai.dynamics.rate import RateNetwork
from bids_ai.dynamics.wilson_cowan import WilsonCowan
from bids_ai.dynamics.wong_wang import WongWang

MODELS = [RateNetwork(), LinearVar(), LinearOU(), JansenRit(), WilsonCowan(), Hopf(), WongWang(), Lorenz96()]
models = pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)


def generators(n: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(n)]


def alone(model: Dynamics, n_steps: int, n_systems: int = 1, n_regions: int = 1, **settings: float) -> np.ndarray:
    """Uncoupled regions, (n_systems, n_records, n_regions)."""
    nothing = torch.zeros(n_regions, n_regions, dtype=torch.float64)
    run = integrate(model, nothing, n_steps=n_steps, generators=generators(n_systems), coupling_gain=0.0, **settings)
    return run.record[:, 0].numpy()


@models
def test_shapes_and_state_layout(model: Dynamics) -> None:
    state = model.initial(2, 5, torch.Generator().manual_seed(0))
    k = model.n_variables
    assert state.shape == (2, 5, k)
    slope = model.drift(state, 0.0, 0.0)
    assert slope.shape == (2, 5, k)
    assert torch.isfinite(slope).all()
    assert len(model.noise_sd) == k
    assert model.observe(state).shape == (2, 5)
    assert model.output(state).shape == ((2, 5) if model.n_outputs == 1 else (2, model.n_outputs, 5))


@models
def test_initial_states_are_seeded_and_differ(model: Dynamics) -> None:
    draw = [model.initial(1, 5, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(draw[0], draw[1])
    assert not torch.equal(draw[0], draw[2])


@models
def test_coupling_and_external_input_drive_the_region_that_gets_them(model: Dynamics) -> None:
    state = model.initial(1, 5, torch.Generator().manual_seed(0))
    pulse = torch.zeros(1, 5, dtype=torch.float64)
    pulse[0, 2] = 0.01
    coupling = pulse if model.n_outputs == 1 else torch.stack([pulse, pulse], dim=-2)
    rest = model.drift(state, 0.0, 0.0)
    for moved in (model.drift(state, coupling, 0.0), model.drift(state, 0.0, pulse)):
        changed = (moved - rest).abs().sum(-1)[0] > 0
        assert changed.tolist() == [False, False, True, False, False]


@models
def test_drift_is_differentiable(model: Dynamics) -> None:
    state = model.initial(1, 4, torch.Generator().manual_seed(0)).contiguous().requires_grad_()
    # Slopes of Jansen-Rit are of size 1e5: their finite differences are rounded to 1e-4.
    assert torch.autograd.gradcheck(lambda s: model.drift(s, 0.1, 0.05), (state,), rtol=1e-4, atol=1e-3)


def peak_frequency(series: np.ndarray, interval_s: float) -> np.ndarray:
    """Largest peak above 2 Hz of each system, series (n_systems, n_times)."""
    power = np.abs(np.fft.rfft(series - series.mean(1, keepdims=True), axis=1)) ** 2
    frequency = np.fft.rfftfreq(series.shape[1], interval_s)
    return frequency[frequency > 2.0][power[:, frequency > 2.0].argmax(1)]


def jansen_rit_from_alpha(p: float, p_sd: float = 0.0) -> np.ndarray:
    """7 s of a column that starts where the alpha cycle is the only attractor, at p = 200."""
    model, nothing = JansenRit(p=200.0, p_sd=0.0), torch.zeros(1, 1, dtype=torch.float64)
    begin = integrate(model, nothing, n_steps=2000, generators=generators(4), record_every=2000).final
    moved = start(JansenRit(p=p, p_sd=p_sd), generators(4), 1, 0.001)
    run = integrate(JansenRit(p=p, p_sd=p_sd), nothing, n_steps=8000, begin=type(begin)(begin.state, moved.noise))
    return run.record[:, 0, 1000:, 0].numpy()


@pytest.mark.parametrize("p", [120.0, 220.0, 320.0])
def test_jansen_rit_makes_alpha(p: float) -> None:
    # Jansen and Rit 1995: an alpha rhythm for inputs between 120 and 320 pulses/s.
    peaks = peak_frequency(jansen_rit_from_alpha(p), 0.001)
    assert (peaks >= 8.0).all()
    assert (peaks <= 12.0).all()


def test_jansen_rit_makes_alpha_for_the_published_random_input() -> None:
    # Drawn uniformly between 120 and 320 pulses/s: mean 220, SD 200 / sqrt(12).
    peaks = peak_frequency(jansen_rit_from_alpha(220.0, 200.0 / 12**0.5), 0.001)
    assert (peaks >= 8.0).all()
    assert (peaks <= 12.0).all()


@pytest.mark.parametrize(("p", "slow"), [(130.0, True), (136.0, True), (139.0, False), (160.0, False)])
def test_jansen_rit_spikes_below_the_published_fold(p: float, slow: bool) -> None:
    # Grimbert and Faugeras 2006: cycles of 3 to 5 Hz exist up to p = 137.38, only alpha beyond. A coarse scheme
    # moves that fold: Euler's with steps of 1 ms beyond 160.
    series = alone(JansenRit(p=p, p_sd=0.0), 6000, n_systems=3)[:, 2000:, 0]
    assert ((peak_frequency(series, 0.001) < 6.0) == slow).all()


def test_hopf_bifurcates_at_zero() -> None:
    quiet = {"beta": 0.0, "frequency_hz": 0.05}
    above, below = (alone(Hopf(a=a, **quiet), 4000, n_systems=5)[:, :, 0] for a in (0.04, -0.04))
    last_turn = above[:, -200:]  # 20 s = one period
    assert_allclose(last_turn.max(1), 0.2, rtol=2e-3)  # radius sqrt(a), sampled 200 times per turn
    # Below, amplitudes decay with exp(a t).
    early, late = np.abs(below[:, 1600:2000]).max(1), np.abs(below[:, 2600:3000]).max(1)
    assert_allclose(late / early, np.exp(-0.04 * 100), rtol=0.02)


def test_hopf_turns_at_its_frequency() -> None:
    series = alone(Hopf(a=0.04, beta=0.0, frequency_hz=0.05), 8000)[0, 4000:, 0]
    upward = np.flatnonzero((series[:-1] < 0) & (series[1:] >= 0))
    assert_allclose(np.diff(upward).mean() * 0.1, 20.0, rtol=5e-3)


def test_hopf_coupling_vanishes_between_equal_regions() -> None:
    # Diffusive coupling leaves the synchronous state as it is.
    W = torch.tensor([[0.0, 2.0], [0.5, 0.0]], dtype=torch.float64)
    model = Hopf(a=0.02, beta=0.0)
    begin = start(model, generators(1), 2, 0.1)
    same = type(begin)(begin.state[:, :, :1].expand(-1, -1, 2, -1).clone(), begin.noise)
    coupled = integrate(model, W, n_steps=100, begin=same).record
    free = integrate(model, W, n_steps=100, begin=same, coupling_gain=0.0).record
    torch.testing.assert_close(coupled, free)


def test_wilson_cowan_cycles_in_the_published_range_and_rests_below() -> None:
    # Wilson and Cowan 1972, Fig. 11: a limit cycle at P = 1.25.
    cycling, resting = (alone(WilsonCowan(P=P, sigma=0.0), 2000)[0, 1000:, 0] for P in (1.25, 0.5))
    assert np.ptp(cycling) > 0.1
    assert np.ptp(resting) < 1e-6


def test_wong_wang_rests_where_opening_and_decay_balance() -> None:
    model = WongWang(sigma=0.0)
    S = torch.as_tensor(alone(model, 3000)[0, -1, 0])
    rate = model.rate(model.w * model.J * S + model.I0)
    assert 0 < S < 0.1  # the low branch
    assert_allclose((1 - S) * model.gamma * rate, S / model.tau_s, rtol=1e-6)


def test_wong_wang_rate_is_defined_at_threshold() -> None:
    model = WongWang()
    current = torch.tensor([model.b / model.a, model.b / model.a + 1e-9], dtype=torch.float64)
    assert_allclose(model.rate(current), 1 / model.d, rtol=1e-4)


def test_lorenz_96_is_chaotic_at_8_and_steady_below_one() -> None:
    model = Lorenz96(F=8.0)
    begin = start(model, generators(1), 20, 0.01).copies(2)
    nudge = torch.zeros(1, 2, 20, dtype=torch.float64)
    nudge[0, 1, 0] = 1e-6
    record = integrate(
        model, torch.zeros(20, 20), n_steps=1500, begin=begin.shifted(0, nudge), coupling_gain=0.0
    ).record
    apart = (record[0, 0] - record[0, 1]).norm(dim=-1)
    # The leading exponent is 1.67 per time unit for many variables: 15 units carry 1e-6 to the size of the attractor.
    growth = torch.log(apart[900] / apart[300]) / 6
    assert 1.0 < growth < 2.6
    steady = alone(Lorenz96(F=0.5), 2500, n_regions=20)[0, -1]
    assert_allclose(steady, 0.5, atol=1e-4)  # perturbations decay with exp(-t / 2) over 25 units


def test_bistable_regions_stay_on_both_sides() -> None:
    x = alone(RateNetwork(self_coupling=2.0, sigma=0.0), 3000, n_systems=1, n_regions=30)[0, -1]
    assert_allclose(np.abs(x), 2.0 * np.tanh(np.abs(x)), rtol=1e-6)
    assert (x > 0).any()
    assert (x < 0).any()
    assert np.abs(x).min() > 1.5
