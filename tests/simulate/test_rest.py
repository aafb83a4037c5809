import numpy as np
import pytest
import torch

from bids_ai.simulate import rest
from bids_ai.simulate.connectome import group_connectome

TIMES = np.arange(1.0, 300.0, 2.0)


@pytest.fixture(scope="module")
def connectome():
    rng = np.random.default_rng(1)
    right = rng.uniform([10, -90, -40], [65, 60, 70], (10, 3))
    centroids = np.concatenate([right * [-1, 1, 1], right])
    return group_connectome(centroids, np.r_[np.arange(10, 20), np.arange(10)], rng)


@pytest.fixture(scope="module")
def system(connectome):
    return rest.rest_system(connectome.weights)


@pytest.fixture(scope="module")
def runs(system):
    return rest.simulate_rest(system, 300.0, [1, 2, 3])


def slope(system, state: torch.Tensor) -> torch.Tensor:
    """Drift of the whole network."""
    weights = torch.as_tensor(system.connectivity)
    return system.model.drift(state[:, None], system.gain * state @ weights, 0.0)[:, 0]


def test_every_region_rests_where_a_lone_one_does(system):
    state = torch.full((system.n_regions,), rest.resting_gating(), dtype=torch.float64)
    assert 0.02 < rest.resting_gating() < 0.05
    np.testing.assert_allclose(slope(system, state), 0.0, atol=1e-9)


def test_slowest_mode_is_as_slow_as_asked(system):
    state = torch.full((system.n_regions,), rest.resting_gating(), dtype=torch.float64)
    lone = rest.rest_system(np.zeros_like(system.connectivity))
    rates = [
        -np.linalg.eigvals(torch.autograd.functional.jacobian(lambda at, s=one: slope(s, at), state)).real.max()
        for one in (system, lone)
    ]
    assert rates[0] / rates[1] == pytest.approx(rest.SLOWEST_MODE, rel=1e-3)


def test_activity_stays_at_rest_and_bold_is_of_a_percent(runs):
    for run in runs:
        assert abs(run.gating.mean() - rest.resting_gating()) < 0.002
        assert run.gating.max() < 0.1
        spread = run.at(run.percent, TIMES).std(axis=0)
        assert 1.0 < np.median(spread) < 1.9


def test_functional_connectivity_grows_with_structural_as_in_recorded_brains(runs, connectome):
    upper = np.triu_indices(connectome.n_regions, 1)
    structural = connectome.bundle_weights[upper]
    functional = [np.corrcoef(run.at(run.percent, TIMES).T)[upper] for run in runs]
    found = [np.corrcoef(one, structural)[0, 1] for one in functional]
    assert 0.3 < min(found) < max(found) < 0.75
    assert 0.03 < np.mean(functional) < 0.4


def test_runs_are_of_their_seeds(system, runs):
    again = rest.simulate_rest(system, 20.0, [2])[0]
    n = len(again.gating)
    np.testing.assert_allclose(again.gating, runs[1].gating[:n], atol=1e-12)
    assert np.abs(runs[0].gating - runs[1].gating).max() > 1e-4


def test_rows_are_sources():
    weights = np.zeros((3, 3))
    weights[0, 1] = weights[1, 2] = 1.0
    # A chain has no loop: the in-strength takes the place of the slowest mode.
    effective = rest.true_effective_connectivity(rest.rest_system(weights), 1)
    assert effective[0, 1] > 0
    assert 0 < effective[0, 2] < 0.7 * effective[0, 1]
    assert np.isnan(np.diag(effective)).all()
    np.testing.assert_allclose(effective[[1, 2, 2], [0, 0, 1]], 0.0, atol=1e-9 * effective[0, 1])


def test_two_estimates_of_the_truth_agree(system):
    first, second = (rest.true_effective_connectivity(system, seed) for seed in (1, 2))
    off = ~np.eye(len(first), dtype=bool)
    assert np.corrcoef(first[off], second[off])[0, 1] > 0.995


def test_haemodynamics_come_later_and_silence_is_no_loop():
    """An isolated network is at rest, and BOLD lags activity by some five seconds."""
    alone = rest.rest_system(np.zeros((2, 2)))
    run = rest.simulate_rest(alone, 400.0, [4])[0]
    times = np.arange(0.0, 400.0, 0.2)
    activity, percent = run.at(run.gating, times)[:, 0], run.at(run.percent, times)[:, 0]
    lags = np.arange(0, 60)
    agreement = [np.corrcoef(activity[: len(times) - lag], percent[lag:])[0, 1] for lag in lags]
    assert lags[int(np.argmax(agreement))] * 0.2 == pytest.approx(5.0, abs=1.0)


def test_sampling_is_linear_between_bins():
    clock = np.arange(500)[:, None] * rest.BIN_S + rest.BIN_S / 2 - 2.0
    series = rest.RestSeries(clock, clock, 2.0)
    times = np.array([[0.0, 0.013], [3.3333, 9.0]])
    sampled = series.at(series.gating, times)
    assert sampled.shape == (2, 2, 1)
    np.testing.assert_allclose(sampled[..., 0], times, atol=1e-9)
