"""Systems with a known answer for the baselines."""

from __future__ import annotations

import numpy as np

from bids_ai.surrogate.recording import Recording


def chain(n: int = 5, weight: float = 0.6, own: float = 0.3) -> np.ndarray:
    """One-way chain 0 -> 1 -> ... -> n - 1 of a VAR(1), row = source."""
    return np.diag(np.full(n, own)) + np.diag(np.full(n - 1, weight), k=1)


def mou_coupling(n: int, seed: int, tau: float, density: float = 0.3) -> np.ndarray:
    """Random non-negative coupling (1/s), row = source, whose spectral radius is 0.6 / tau."""
    rng = np.random.default_rng(seed)
    coupling = rng.lognormal(0, 0.5, (n, n)) * (rng.random((n, n)) < density)
    np.fill_diagonal(coupling, 0)
    coupling += 0.5 * np.roll(np.eye(n), 1, axis=1)  # a loop through all regions: the radius is never zero
    return coupling * 0.6 / tau / np.abs(np.linalg.eigvals(coupling)).max()


def mou_covariances(
    coupling: np.ndarray, noise: np.ndarray, tau: float, lag_s: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exact Q0, Q_lag and propagator, by integrating the noise over the past (not by the Lyapunov equation)."""
    from scipy.linalg import expm

    jacobian = coupling - np.eye(len(coupling)) / tau
    # Doubling: Q(2t) = Q(t) + P(t)' Q(t) P(t), from a step so short that the trapezoidal rule is exact to 1e-10.
    step = tau * 2.0**-16
    propagator = expm(jacobian * step)
    zero = step / 2 * (np.diag(noise) + propagator.T @ np.diag(noise) @ propagator)
    for _ in range(24):
        zero = zero + propagator.T @ zero @ propagator
        propagator = propagator @ propagator
    lagged = expm(jacobian * lag_s)
    return zero, zero @ lagged, lagged


def structured(series: np.ndarray, structural: np.ndarray | None, name: str = "rec", tr: float = 2.0) -> Recording:
    """Recording with a structural connectivity."""
    regions = tuple(f"r{i}" for i in range(series.shape[1]))
    return Recording(name, (series,), tr, regions, structural)
