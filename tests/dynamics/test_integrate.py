"""The integrator against closed forms: variance, convergence, delays, pairing, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.linalg import expm, solve_continuous_lyapunov
from torch import Tensor

from bids_ai.dynamics.hopf import Hopf
from bids_ai.dynamics.integrate import integrate, start
from bids_ai.dynamics.jansen_rit import JansenRit
from bids_ai.dynamics.linear import LinearOU, LinearVar
from bids_ai.dynamics.noise import NoiseStream
from bids_ai.dynamics.rate import RateNetwork
from bids_ai.errors import InputError


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def weights(n: int, seed: int = 0, size: float = 0.4) -> Tensor:
    drawn = torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * size / n**0.5
    return drawn - torch.diag(torch.diagonal(drawn))


def test_stationary_covariance_is_that_of_the_lyapunov_equation() -> None:
    W = weights(4, size=0.5)
    record = integrate(
        LinearOU(sigma=0.7), W, n_steps=3000, generators=generators(*range(300)), record_every=100
    ).record
    observed = np.cov(record[:, 0, 10:].reshape(-1, 4).numpy().T)
    drift = W.numpy().T - np.eye(4)
    expected = solve_continuous_lyapunov(drift, -(0.7**2) * np.eye(4))
    # 300 x 20 samples, correlated over about one sample: 4 standard errors of a variance of about .3; the step of
    # .01 adds half a percent.
    assert_allclose(observed, expected, atol=4 * 0.3 * np.sqrt(2 / 3000))


def test_noise_free_run_is_the_matrix_exponential() -> None:
    W = weights(5)
    begin = start(LinearOU(sigma=0.0), generators(1), 5, 0.001)
    final = integrate(LinearOU(sigma=0.0), W, n_steps=1000, begin=begin, dt=0.001).final.state[0, 0, :, 0]
    exact = begin.state[0, 0, :, 0].numpy() @ expm(W.numpy() - np.eye(5))
    assert_allclose(final, exact, atol=2e-3)  # Euler: half a step of relaxation


def test_heun_is_of_second_order() -> None:
    model = Hopf(a=0.1, frequency_hz=0.2, beta=0.0)

    def end(dt: float) -> Tensor:
        run = integrate(model, weights(3).abs(), n_steps=round(2 / dt), generators=generators(1), dt=dt)
        return run.final.state

    exact = end(0.002)
    coarse, fine = ((end(dt) - exact).abs().max() for dt in (0.1, 0.05))
    assert 3.5 < coarse / fine < 4.6


@pytest.mark.parametrize("per_system", [False, True])
def test_delays_arrive_on_time(per_system: bool) -> None:
    W = torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    delays = torch.tensor([[0, 0, 3], [0, 0, 0], [0, 0, 0]])
    stacked = torch.stack([delays, delays + torch.tensor([[0, 2, 0], [0, 0, 0], [0, 0, 0]])]) if per_system else delays
    model = LinearVar(persistence=0.0, sigma=0.0)
    begin = start(model, generators(1, 2), 3, 1.0, max_delay_steps=5)
    begin = type(begin)(torch.zeros_like(begin.state), begin.noise, torch.zeros_like(begin.past))
    pulse = torch.zeros(8, 1, 1, 3, dtype=torch.float64)
    pulse[0, ..., 0] = 1.0
    record = integrate(model, W, n_steps=8, begin=begin, stimulation=pulse, delays_steps=stacked).record
    arrival = record[:, 0].argmax(dim=1)
    assert arrival[0].tolist() == [0, 1, 4]
    assert arrival[1].tolist() == ([0, 3, 4] if per_system else [0, 1, 4])
    assert record[:, 0].sum(dim=1).tolist() == [[1.0, 1.0, 1.0]] * 2


def test_zero_delays_are_no_delays() -> None:
    W, zero = weights(4), torch.zeros(4, 4, dtype=torch.int64)
    runs = [
        integrate(RateNetwork(), W, n_steps=100, generators=generators(1, 2), delays_steps=delays).record
        for delays in (None, zero)
    ]
    torch.testing.assert_close(*runs)


@pytest.mark.parametrize("delayed", [False, True])
@pytest.mark.parametrize("model", [RateNetwork(), Hopf(), JansenRit()], ids=lambda model: type(model).__name__)
def test_two_runs_in_sequence_are_one_long_run(model: RateNetwork | Hopf | JansenRit, delayed: bool) -> None:
    W = weights(4).abs()
    delays = torch.randint(0, 7, (4, 4), generator=torch.Generator().manual_seed(0)) if delayed else None
    whole = integrate(model, W, n_steps=150, generators=generators(1, 2), delays_steps=delays).record
    first = integrate(model, W, n_steps=70, generators=generators(1, 2), delays_steps=delays)
    second = integrate(model, W, n_steps=80, begin=first.final, delays_steps=delays)
    torch.testing.assert_close(torch.cat([first.record, second.record], dim=2), whole)


def test_copies_share_their_noise_and_systems_do_not() -> None:
    begin = start(RateNetwork(), generators(1, 2), 4, 0.01).copies(3)
    shift = torch.zeros(1, 3, 4, dtype=torch.float64)
    shift[0, 2, 1] = 0.5
    record = integrate(RateNetwork(), weights(4), n_steps=200, begin=begin.shifted(0, shift)).record
    assert torch.equal(record[:, 0], record[:, 1])
    assert not torch.allclose(record[:, 0], record[:, 2])
    increments = record[:, 0].diff(dim=1)
    assert abs(np.corrcoef(increments[0].flatten(), increments[1].flatten())[0, 1]) < 4 / np.sqrt(796)


def test_a_system_does_not_depend_on_the_batch() -> None:
    stacked = torch.stack([weights(4, 1), weights(4, 2), weights(4, 3)])
    together = integrate(RateNetwork(), stacked, n_steps=130, generators=generators(5, 6, 7)).record[1]
    alone = integrate(RateNetwork(), stacked[1], n_steps=130, generators=generators(6)).record[0]
    torch.testing.assert_close(together, alone)


def test_bins_hold_the_mean_of_their_steps() -> None:
    every = integrate(RateNetwork(), weights(3), n_steps=40, generators=generators(1)).record
    binned = integrate(
        RateNetwork(), weights(3), n_steps=40, generators=generators(1), record_every=8, record_mean=True
    )
    torch.testing.assert_close(binned.record, every.unflatten(2, (5, 8)).mean(3))


def test_stimulation_by_function_and_by_tensor_agree() -> None:
    given = torch.randn(30, 1, 1, 3, dtype=torch.float64)
    by_tensor = integrate(RateNetwork(), weights(3), n_steps=30, generators=generators(1), stimulation=given).record
    by_function = integrate(
        RateNetwork(), weights(3), n_steps=30, generators=generators(1), stimulation=lambda step: given[step]
    ).record
    assert torch.equal(by_tensor, by_function)


@pytest.mark.parametrize("delayed", [False, True])
def test_gradients_of_gain_connectivity_and_parameters(delayed: bool) -> None:
    delays = torch.tensor([[0, 2, 1], [3, 0, 0], [1, 1, 0]]) if delayed else None

    def end(gain: Tensor, W: Tensor, e0: Tensor) -> Tensor:
        off = W * (1 - torch.eye(3, dtype=W.dtype))
        run = integrate(
            JansenRit(e0=e0), off, n_steps=12, generators=generators(1), coupling_gain=gain, delays_steps=delays
        )
        return run.record[0, 0, -1] * 10

    arguments = (torch.tensor(30.0), weights(3).abs(), torch.tensor([2.5, 2.0, 3.0]))
    assert torch.autograd.gradcheck(end, tuple(a.double().requires_grad_() for a in arguments), rtol=1e-4)


def test_wrong_calls_say_what_to_do() -> None:
    with pytest.raises(InputError, match="diagonal"):
        integrate(RateNetwork(), torch.eye(3), n_steps=1, generators=generators(1))
    with pytest.raises(InputError, match="write 0"):
        integrate(RateNetwork(), torch.full((3, 3), torch.nan), n_steps=1, generators=generators(1))
    with pytest.raises(InputError, match="multiple of record_every"):
        integrate(RateNetwork(), weights(3), n_steps=5, record_every=2, generators=generators(1))
    with pytest.raises(InputError, match="one generator per system"):
        integrate(RateNetwork(), weights(3), n_steps=5)
    begin = start(RateNetwork(), generators(1), 3, 0.01)
    with pytest.raises(InputError, match="start with max_delay_steps"):
        integrate(RateNetwork(), weights(3), n_steps=5, begin=begin, delays_steps=torch.ones(3, 3, dtype=torch.int64))
    with pytest.raises(InputError, match="choose euler or heun"):
        integrate(RateNetwork(), weights(3), n_steps=5, generators=generators(1), method="rk4")
    with pytest.raises(InputError, match="4 steps, the simulation 5"):
        integrate(RateNetwork(), weights(3), n_steps=5, generators=generators(1), stimulation=torch.zeros(4, 1, 1, 3))


def test_shared_noise_keeps_the_variance_and_is_common_to_all_regions():
    generators = [torch.Generator().manual_seed(k) for k in (1, 2)]
    still = torch.zeros(3, 3, dtype=torch.float64)
    model = LinearOU(sigma=2.0, shared_noise=0.3)
    increments = torch.stack(list(NoiseStream(model, generators, 3, 0.01, still).steps(20_000)))[:, :, 0, :, 0]
    covariance = torch.einsum("tsi,tsj->sij", increments, increments) / len(increments) / (4 * 0.01)
    expected = 0.3 + 0.7 * torch.eye(3, dtype=torch.float64)
    # Sampling error of a variance over 20 000 draws: 1 %.
    torch.testing.assert_close(covariance, expected.expand(2, 3, 3), rtol=0, atol=0.04)
    assert abs(torch.corrcoef(increments[:, :, 0].T)[0, 1]) < 0.03
