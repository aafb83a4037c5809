"""What every registered system keeps: a new one is picked up by its line in the registry."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import expm

from bids_ai.dynamics.linear import LinearVar
from bids_ai.errors import InputError
from bids_ai.simulate.systems.registry import SYSTEMS, get_system
from bids_ai.simulate.systems.system import System, simulate_batch

systems = pytest.mark.parametrize("name", list(SYSTEMS))
N_FRAMES = 6


@lru_cache
def small(name: str, seed: int = 0) -> System:
    """Few regions, and a short burn-in: the contract is about form."""
    system = get_system(name, seed, n_regions=6)
    return dataclasses.replace(system, burn_in_s=min(system.burn_in_s, 200 * system.step_s))


@lru_cache
def series(name: str) -> np.ndarray:
    return small(name).simulate(N_FRAMES, [3, 4])


def off(matrix: np.ndarray) -> np.ndarray:
    return matrix[~np.eye(len(matrix), dtype=bool)]


@systems
def test_series_are_finite_and_vary(name: str) -> None:
    assert series(name).shape == (2, N_FRAMES, 6)
    assert series(name).dtype == np.float64
    assert np.isfinite(series(name)).all()
    assert (series(name).std(axis=1) > 0).all()


@systems
def test_a_seed_gives_one_series_in_any_batch_and_seeds_differ(name: str) -> None:
    # Rounding differs with the batch, and grows in chaotic systems (Lorenz-96 has no product that could).
    alone = small(name).simulate(N_FRAMES, [4])
    assert_allclose(alone[0], series(name)[1], rtol=1e-7, atol=1e-9)
    assert not np.isclose(series(name)[0], series(name)[1], rtol=1e-3).any(axis=0).all()
    assert_allclose(series(name)[0], series(name)[0])


@systems
def test_connectivity_is_seeded_and_without_diagonal(name: str) -> None:
    one, other = small(name).connectivity, get_system(name, 1, n_regions=6).connectivity
    assert_array_equal(one, get_system(name, 0, n_regions=6).connectivity)
    assert (np.diag(one) == 0).all()
    assert name == "lorenz-96" or not np.array_equal(one, other)
    assert not np.allclose(one, one.T)


@systems
def test_truth_is_finite_off_the_diagonal_and_seeded(name: str) -> None:
    truth = small(name).true_effective_connectivity(0, n_states=2)
    assert truth.shape == (6, 6)
    assert np.isnan(np.diag(truth)).all()
    assert np.isfinite(off(truth)).all()
    assert_array_equal(truth, small(name).true_effective_connectivity(0, n_states=2))


@pytest.mark.parametrize("name", [name for name in SYSTEMS if name != "lorenz-96"])
def test_row_is_source(name: str) -> None:
    # One way only: with paired noise nothing at all may come back.
    one_way = np.array([[0.0, 1.0], [0.0, 0.0]])
    system = small(name)
    delays = None if system.delays_s is None else np.array([[0.0, 0.01], [0.01, 0.0]])
    pair = dataclasses.replace(system, connectivity=one_way, delays_s=delays, positions_mm=None)
    truth = pair.true_effective_connectivity(0, n_states=2)
    assert abs(truth[0, 1]) > 1e-9
    assert truth[1, 0] == 0


def test_row_is_source_on_the_ring_of_lorenz() -> None:
    # x_(i-1) is driven by (x_i - x_(i-3)) x_(i-2), where the mean of x is above 0: a push of i raises i - 1;
    # x_(i+2) by -x_i x_(i+1): it lowers i + 2. Nothing reaches i - 2 or i + 3 within a short time.
    truth = get_system("lorenz-96", 0, n_regions=20).true_effective_connectivity(0)
    mean = {k: np.mean([truth[i, (i + k) % 20] for i in range(20)]) for k in (-2, -1, 2, 6)}
    assert mean[-1] > 0.1
    assert mean[2] < -0.1
    assert abs(mean[-2]) < 0.3 * min(mean[-1], -mean[2])
    assert abs(mean[6]) < 0.01


def test_truth_of_linear_systems_is_the_analytic_one() -> None:
    var, ou = get_system("linear-var", 0), get_system("linear-ou", 0)
    assert_allclose(off(var.true_effective_connectivity(0)), off(var.connectivity), atol=1e-12)
    step = np.eye(20) + 0.01 * (ou.connectivity - np.eye(20))
    assert_allclose(off(ou.true_effective_connectivity(0)), off(np.linalg.matrix_power(step, 100)), atol=1e-12)
    # Integration steps of a hundredth of the time constant cost half a percent of the largest response.
    exact = expm(ou.connectivity - np.eye(20))
    assert_allclose(off(ou.true_effective_connectivity(0)), off(exact), atol=0.01 * np.abs(off(exact)).max())


def test_absent_edges_are_exactly_absent() -> None:
    system = get_system("linear-var", 0, n_regions=20, density=0.2)
    truth = system.true_effective_connectivity(0)
    assert (off(system.connectivity) != 0).sum() == round(0.2 * 380)
    assert_allclose(off(truth)[off(system.connectivity) == 0], 0, atol=1e-14)
    assert np.abs(off(truth)[off(system.connectivity) != 0]).min() > 0.02


def test_recordings_of_a_batch_have_noise_of_their_own() -> None:
    # Two seeds share a network, not its noise: their innovations are uncorrelated.
    system = get_system("linear-var", 0)
    both = system.simulate(600, [1, 2])
    innovation = both[:, 1:] - both[:, :-1] @ (0.5 * np.eye(20) + system.connectivity)
    r = np.corrcoef(innovation[0].ravel(), innovation[1].ravel())[0, 1]
    assert abs(r) < 4 / np.sqrt(innovation[0].size)
    assert_allclose(innovation.std(), 1.0, rtol=0.03)


def test_systems_of_a_batch_keep_their_own_network() -> None:
    networks = [get_system("linear-var", seed) for seed in (0, 1)]
    together = simulate_batch(networks, 2000, [5, 6])
    assert_allclose(together[1], networks[1].simulate(2000, [6])[0], atol=1e-9)
    for network, recorded in zip(networks, together, strict=True):
        fitted = np.linalg.lstsq(recorded[:-1], recorded[1:], rcond=None)[0]
        # Weights of SD .06 (absent edges included) seen with a standard error of .02 at 2000 frames: r about .95.
        assert np.corrcoef(off(fitted), off(network.connectivity))[0, 1] > 0.85


def test_observation_noise_has_its_share_of_the_variance() -> None:
    clean = get_system("linear-var", 0)
    noisy = dataclasses.replace(clean, noise_sd=0.3)
    added = noisy.simulate(2000, [1, 2]) - clean.simulate(2000, [1, 2])
    share = added.std(axis=1) / clean.simulate(2000, [1, 2]).std(axis=1)
    assert_allclose(share, 0.3, rtol=0.08)  # 5 standard errors of an SD over 2000 frames
    assert abs(np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1]) < 4 / np.sqrt(40000)


def test_truth_of_npi_is_reproduced(test_data: Path) -> None:
    # The published truth is a mean over 39 states only.
    folder = test_data / "npi-rnn"
    weights, published = (np.loadtxt(folder / f"{kind}_seed-00.txt") for kind in ("SC", "real_EC"))
    system = dataclasses.replace(get_system("rate-rnn", 0), connectivity=weights)
    truth = system.true_effective_connectivity(0)
    assert np.corrcoef(off(truth), off(published))[0, 1] > 0.98
    assert_allclose(np.polyfit(off(truth), off(published), 1)[0], 1.0, atol=0.05)


def test_unknown_system_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="rate-rnn, linear-var"):
        get_system("rate-rrn")


def test_wrong_systems_and_calls_are_refused() -> None:
    system = small("linear-var")
    with pytest.raises(InputError, match="no multiple of the step"):
        dataclasses.replace(get_system("rate-rnn"), interval_s=0.995e-2)
    with pytest.raises(InputError, match="finite"):
        dataclasses.replace(system, connectivity=np.full((6, 6), np.nan))
    with pytest.raises(InputError, match="must hold a frame"):
        dataclasses.replace(system, push=dataclasses.replace(system.push, window_s=(0.0, 0.5)))
    with pytest.raises(InputError, match="one seed per system"):
        simulate_batch([system], 5, [1, 2])
    with pytest.raises(InputError, match="differ in gain"):
        simulate_batch([system, dataclasses.replace(system, gain=0.5)], 5, [1, 2])
    with pytest.raises(InputError, match="diverged"):
        dataclasses.replace(system, model=LinearVar(persistence=1e6)).simulate(100, [1])
