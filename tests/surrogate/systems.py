"""Small systems with known coupling, and fits of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from bids_ai.surrogate.fit import fit_recordings
from bids_ai.surrogate.fitted import FittedSurrogate
from bids_ai.surrogate.recording import Recording


def coupling(n: int, seed: int, density: float = 0.3, radius: float = 0.8) -> np.ndarray:
    """Random directed coupling (row = source) with own decay, scaled to a spectral radius."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((n, n)) * (rng.random((n, n)) < density) * 0.4
    np.fill_diagonal(weights, 0.5)
    return weights * radius / np.abs(np.linalg.eigvals(weights)).max()


def linear_series(weights: np.ndarray, n_times: int, seed: int) -> np.ndarray:
    """x(t+1) = x(t) W + white noise of SD 1, after a burn-in."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n_times + 100, len(weights)))
    series = np.zeros_like(noise)
    for t in range(1, len(series)):
        series[t] = series[t - 1] @ weights + noise[t]
    return series[100:]


def second_order_series(first: np.ndarray, second: np.ndarray, n_times: int, seed: int) -> np.ndarray:
    """x(t+1) = x(t) first + x(t-1) second + white noise."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n_times + 100, len(first)))
    series = np.zeros_like(noise)
    for t in range(2, len(series)):
        series[t] = series[t - 1] @ first + series[t - 2] @ second + noise[t]
    return series[100:]


def third_order_series(first: np.ndarray, third: np.ndarray, n_times: int, seed: int) -> np.ndarray:
    """x(t+1) = x(t) first + x(t-2) third + white noise."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n_times + 100, len(first)))
    series = np.zeros_like(noise)
    for t in range(3, len(series)):
        series[t] = series[t - 1] @ first + series[t - 3] @ third + noise[t]
    return series[100:]


def saturating_series(n: int, n_times: int, seed: int) -> np.ndarray:
    """dx = (-x + tanh(x) W) dt + 0.4 dW with strong coupling, dt 0.1, every tenth step: strongly nonlinear."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((n, n)) * (rng.random((n, n)) < 0.4) * 1.6
    np.fill_diagonal(weights, 0)
    state, out = rng.standard_normal(n), []
    for _ in range((n_times + 50) * 10):
        state = state + 0.1 * (-state + np.tanh(state) @ weights) + np.sqrt(0.1) * 0.4 * rng.standard_normal(n)
        out.append(state)
    return np.array(out[500::10])


def recording(*runs: np.ndarray, name: str = "rec", tr: float = 2.0) -> Recording:
    return Recording(name, runs, tr, tuple(f"r{i}" for i in range(runs[0].shape[1])))


def fitted(*runs: np.ndarray, name: str = "rec", tr: float = 2.0, **settings: Any) -> FittedSurrogate:
    result = fit_recordings([recording(*runs, name=name, tr=tr)], **settings)[0]
    assert isinstance(result, FittedSurrogate), result
    return result


def offdiagonal_r(a: np.ndarray, b: np.ndarray) -> float:
    off = ~np.eye(len(a), dtype=bool)
    return float(np.corrcoef(a[off], b[off])[0, 1])
