"""A small network of known directed coupling, and the haemodynamic series it makes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve
from scipy.stats import gamma

Array = NDArray[np.floating]

#: Decay time of a region left to itself, s. Slow enough for directed influence to outlive the sampling of BOLD.
TIME_CONSTANT_S = 2.0
#: Integration step, s.
STEP_S = 0.05
#: Slowest mode of the network relative to a lone region: the coupling is scaled until it decays this much slower.
SLOWEST_MODE = 0.35
#: Share of ordered pairs that are coupled, beside the homotopic ones.
DENSITY = 0.12
#: Length over which the chance of a connection falls by e, mm.
CONNECTION_LENGTH_MM = 55.0
#: Share of negative connections.
NEGATIVE = 0.15
#: Simulated time that is thrown away before the first frame, s.
BURN_IN_S = 60.0


@dataclass(frozen=True)
class Network:
    """A linear stochastic network: dx = (-x / tau + x C) dt + dW.

    Attributes
    ----------
    coupling : array, shape (n_regions, n_regions)
        1/s; row = source, column = target; zero diagonal.
    time_constant_s : float
        tau.
    """

    coupling: Array
    time_constant_s: float = TIME_CONSTANT_S

    @property
    def n_regions(self) -> int:
        """Number of regions."""
        return len(self.coupling)

    @property
    def slowest_rate(self) -> float:
        """Decay rate (1/s) of the slowest mode; positive in a stable network."""
        drift = self.coupling.T - np.eye(self.n_regions) / self.time_constant_s
        return float(-np.linalg.eigvals(drift).real.max())


def random_network(centroids_mm: Array, homotopic: NDArray[np.integer], rng: np.random.Generator) -> Network:
    """Draw a sparse, stable, directed network over regions with known places.

    Homotopic regions are coupled both ways; other pairs by a chance that falls with distance, mostly one way
    only; weights are log-normal, some negative.

    Parameters
    ----------
    centroids_mm : array, shape (n_regions, 3)
    homotopic : array of int, shape (n_regions,)
        Position of the partner in the other hemisphere, -1 where there is none.
    rng : numpy Generator

    Returns
    -------
    Network
    """
    n = len(centroids_mm)
    distance = np.linalg.norm(centroids_mm[:, None] - centroids_mm[None], axis=-1)
    chance = np.exp(-distance / CONNECTION_LENGTH_MM)
    np.fill_diagonal(chance, 0.0)
    chance *= DENSITY * n * (n - 1) / chance.sum()
    coupled = rng.random((n, n)) < chance
    # Of a pair drawn both ways most keep one direction: asymmetry is what effective connectivity is about.
    both = np.argwhere(np.triu(coupled & coupled.T))
    for row, column in both:
        if rng.random() < 0.8:
            coupled[(row, column) if rng.random() < 0.5 else (column, row)] = False
    weights = rng.lognormal(0.0, 0.4, (n, n)) * np.where(rng.random((n, n)) < NEGATIVE, -1.0, 1.0)
    coupling = np.where(coupled, weights, 0.0)
    paired = np.flatnonzero(homotopic >= 0)
    coupling[paired, homotopic[paired]] = rng.lognormal(0.0, 0.15, len(paired)) * 1.2
    return Network(coupling * _stable_scale(coupling))


def individual_network(group: Network, rng: np.random.Generator, *, variation: float = 0.25) -> Network:
    """One subject's variant of a group network: same support, weights that differ, equally stable.

    Parameters
    ----------
    group : Network
    rng : numpy Generator
    variation : float
        Standard deviation of the logarithm of a weight across subjects.

    Returns
    -------
    Network
    """
    varied = group.coupling * rng.lognormal(0.0, variation, group.coupling.shape)
    return Network(varied * _stable_scale(varied, group.time_constant_s), group.time_constant_s)


def simulate_states(network: Network, duration_s: float, rng: np.random.Generator) -> Array:
    """Integrate the network (Euler-Maruyama, step `STEP_S`) after a burn-in.

    Returns
    -------
    array, shape (n_steps, n_regions)
        From -`BURN_IN_S` to `duration_s`; keep the burn-in, the haemodynamics need the past.
    """
    n_steps = round((duration_s + BURN_IN_S) / STEP_S)
    step = np.eye(network.n_regions) * (1.0 - STEP_S / network.time_constant_s) + STEP_S * network.coupling
    noise = np.sqrt(STEP_S) * rng.standard_normal((n_steps, network.n_regions))
    states = np.empty_like(noise)
    current = np.zeros(network.n_regions)
    for index in range(n_steps):
        current = current @ step + noise[index]
        states[index] = current
    return states


def haemodynamic_response() -> Array:
    """Canonical double-gamma response sampled every `STEP_S` over 32 s, with unit sum.

    References
    ----------
    Friston et al. 1998, doi:10.1006/nimg.1997.0306; peak 5 s, undershoot 15 s, ratio 6.
    """
    time = np.arange(0.0, 32.0, STEP_S)
    response = gamma.pdf(time, 6.0) - gamma.pdf(time, 16.0) / 6.0
    return response / response.sum()


def haemodynamics(states: Array) -> Array:
    """Convolve states with the canonical response along time, same shape, causal."""
    response = haemodynamic_response()
    return fftconvolve(states, response[:, None], axes=0)[: len(states)]


def sample_at(series: Array, times_s: Array) -> Array:
    """Values of a series of `simulate_states` or `haemodynamics` at times after the burn-in, linearly.

    Parameters
    ----------
    series : array, shape (n_steps, n_regions)
    times_s : array, any shape
        Seconds from the start of the first frame.

    Returns
    -------
    array, shape (*times_s.shape, n_regions)
    """
    position = (np.asarray(times_s) + BURN_IN_S) / STEP_S
    before = np.clip(np.floor(position).astype(int), 0, len(series) - 2)
    part = (position - before)[..., None]
    return series[before] * (1.0 - part) + series[before + 1] * part


def _stable_scale(coupling: Array, time_constant_s: float = TIME_CONSTANT_S) -> float:
    """Factor that puts the slowest mode at `SLOWEST_MODE` of the rate of a lone region."""
    abscissa = np.linalg.eigvals(coupling).real.max()
    return float((1.0 - SLOWEST_MODE) / (time_constant_s * abscissa))
