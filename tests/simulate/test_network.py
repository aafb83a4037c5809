import numpy as np
import pytest
from scipy.linalg import solve_continuous_lyapunov

from bids_ai.simulate import network as net

CENTROIDS = np.random.default_rng(0).uniform(-60, 60, (12, 3))
HOMOTOPIC = np.r_[np.arange(6, 12), np.arange(6)]


def drawn(seed: int) -> net.Network:
    return net.random_network(CENTROIDS, HOMOTOPIC, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(5))
def test_slowest_mode_is_as_slow_as_asked(seed):
    network = drawn(seed)
    assert network.slowest_rate == pytest.approx(net.SLOWEST_MODE / net.TIME_CONSTANT_S)
    individual = net.individual_network(network, np.random.default_rng(seed + 100))
    assert individual.slowest_rate == pytest.approx(net.SLOWEST_MODE / net.TIME_CONSTANT_S)
    assert np.array_equal(individual.coupling != 0, network.coupling != 0)
    assert not np.allclose(individual.coupling, network.coupling)


def test_coupling_is_sparse_directed_and_homotopic():
    coupling = np.mean([drawn(seed).coupling != 0 for seed in range(20)], axis=0)
    rows = np.arange(12)
    assert (coupling[rows, HOMOTOPIC] == 1).all()
    assert (np.diag(coupling) == 0).all()
    others = ~np.eye(12, dtype=bool)
    others[rows, HOMOTOPIC] = False
    # A tenth of pairs or so: the chance given, less the directions taken from pairs drawn both ways.
    assert 0.05 < coupling[others].mean() < 0.14
    one = drawn(0).coupling != 0
    one[rows, HOMOTOPIC] = False
    assert (one & one.T).sum() < 0.5 * one.sum()


def test_states_have_the_covariance_of_the_model():
    coupling = np.array([[0.0, 0.4, 0.0], [0.0, 0.0, 0.3], [0.1, 0.0, 0.0]])
    network = net.Network(coupling)
    states = net.simulate_states(network, 20000.0, np.random.default_rng(1))[int(net.BURN_IN_S / net.STEP_S) :]
    # Of dx = x A dt + dW: A'S + S A + I = 0, with x a row.
    drift = coupling - np.eye(3) / net.TIME_CONSTANT_S
    expected = solve_continuous_lyapunov(drift.T, -np.eye(3))
    # Twenty thousand seconds are some 5000 independent samples: 5 % holds three standard errors, and Euler's bias.
    np.testing.assert_allclose(np.cov(states.T), expected, atol=0.06 * expected.max())


def test_rows_are_sources():
    states = net.simulate_states(net.Network(np.array([[0.0, 0.6], [0.0, 0.0]])), 3000.0, np.random.default_rng(2))
    later = round(1.0 / net.STEP_S)
    forward = np.corrcoef(states[:-later, 0], states[later:, 1])[0, 1]
    backward = np.corrcoef(states[:-later, 1], states[later:, 0])[0, 1]
    assert forward > backward + 0.15


def test_response_to_an_impulse_peaks_at_five_seconds():
    states = np.zeros((round((net.BURN_IN_S + 40.0) / net.STEP_S), 1))
    states[round(net.BURN_IN_S / net.STEP_S)] = 1.0
    times = np.arange(0.0, 39.0, 0.5)
    response = net.sample_at(net.haemodynamics(states), times)[:, 0]
    assert times[response.argmax()] == pytest.approx(5.0)
    assert times[response.argmin()] == pytest.approx(15.5, abs=1.0)
    assert net.haemodynamic_response().sum() == pytest.approx(1.0)


def test_sampling_is_linear_between_steps():
    n = round((net.BURN_IN_S + 10.0) / net.STEP_S)
    clock = (np.arange(n) * net.STEP_S - net.BURN_IN_S)[:, None]
    times = np.array([[0.0, 0.013], [3.3333, 9.0]])
    sampled = net.sample_at(clock, times)
    assert sampled.shape == (2, 2, 1)
    np.testing.assert_allclose(sampled[..., 0], times, atol=1e-9)
