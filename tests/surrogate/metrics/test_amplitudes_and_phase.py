"""Amplitude distributions, stretches of a series, phase-randomised series."""

from __future__ import annotations

import numpy as np
import pytest

from bids_ai.surrogate.metrics.amplitudes import amplitude_hellinger, amplitude_kl
from bids_ai.surrogate.metrics.connectivity import moments
from bids_ai.surrogate.metrics.phase import phase_randomised
from bids_ai.surrogate.metrics.series import frames_and_times, stretches
from tests.surrogate.systems import coupling, linear_series


def normal(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 2)) + shift


def test_amplitudes_of_shifted_gaussians() -> None:
    # KL = shift^2 / 2; H^2 = 1 - exp(-shift^2 / 8).
    assert amplitude_kl(normal(50_000, 0), normal(50_000, 1, 1.0)) == pytest.approx(0.5, rel=0.05)
    assert amplitude_hellinger(normal(50_000, 0), normal(50_000, 1, 1.0)) == pytest.approx(
        np.sqrt(1 - np.exp(-1 / 8)), rel=0.03
    )


def test_amplitudes_of_one_distribution() -> None:
    series = normal(1000, 0)
    assert amplitude_kl(series, series) == 0
    assert amplitude_hellinger(series, series) == pytest.approx(0, abs=1e-7)
    assert amplitude_kl(series, normal(1000, 1)) < 0.03


def test_order_in_time_does_not_count_in_amplitudes() -> None:
    series = normal(500, 0)
    assert amplitude_kl(series, series[::-1]) == 0


def test_stretches_end_at_gaps_and_runs() -> None:
    series = np.arange(10.0)[:, None] * [1, 1]
    series[[0, 4, 5]] = np.nan
    assert [piece[:, 0].tolist() for piece in stretches([series, series[6:8]])] == [[1, 2, 3], [6, 7, 8, 9], [6, 7]]
    _, times = frames_and_times([series, series[6:8]], gap=100)
    assert times.tolist() == [1, 2, 3, 6, 7, 8, 9, 110, 111]


@pytest.mark.parametrize("n_times", [400, 401])
def test_common_phases_keep_spectra_and_cross_correlations(n_times: int) -> None:
    series = linear_series(coupling(4, 0), n_times, 0)
    (turned,) = phase_randomised(series, 1, common=True)
    np.testing.assert_allclose(np.abs(np.fft.rfft(turned, axis=0)), np.abs(np.fft.rfft(series, axis=0)), atol=1e-9)
    np.testing.assert_allclose(np.cov(turned.T), np.cov(series.T), atol=1e-9)
    assert abs(np.corrcoef(turned[:, 0], series[:, 0])[0, 1]) < 0.3


def test_own_phases_keep_spectra_and_lose_coupling() -> None:
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((800, 1)) + 0.3 * rng.standard_normal((800, 4))
    (turned,) = phase_randomised(shared, 1, common=False)
    np.testing.assert_allclose(turned.var(axis=0), shared.var(axis=0))
    off = ~np.eye(4, dtype=bool)
    assert moments(shared).zero_lag[off].min() > 0.85
    assert np.abs(moments(turned).zero_lag[off]).max() < 0.15


def test_stretches_are_randomised_for_themselves_and_seeded() -> None:
    series = normal(100, 0)
    series[40] = np.nan
    first, again, other = (phase_randomised(series, seed, common=True) for seed in (1, 1, 2))
    assert [len(piece) for piece in first] == [40, 59]
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])
