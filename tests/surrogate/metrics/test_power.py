"""Spectral distances on oscillators of known frequency."""

from __future__ import annotations

import numpy as np
import pytest

from bids_ai.surrogate.metrics.power import (
    d_hellinger,
    log_spectral_distance,
    power_spectra,
    segment_length,
    spectral_cosine,
)


def oscillation(frequency: float, seed: int, n_times: int = 2000, noise: float = 0.3) -> np.ndarray:
    """Two regions that oscillate at a frequency (cycles per frame) in noise."""
    rng = np.random.default_rng(seed)
    phase = 2 * np.pi * (frequency * np.arange(n_times)[:, None] + rng.random(2))
    return np.sin(phase) + noise * rng.standard_normal((n_times, 2))


def test_the_peak_is_where_the_oscillation_is() -> None:
    spectra = power_spectra(oscillation(0.125, 0), 128)
    np.testing.assert_array_equal(spectra.argmax(axis=0) + 1, [16, 16])  # 16 / 128 cycles per frame
    np.testing.assert_allclose(spectra.sum(axis=0), 1)


def test_a_series_is_at_no_distance_from_itself() -> None:
    series = oscillation(0.1, 0)
    assert d_hellinger(series, series) == pytest.approx(0, abs=1e-7)
    assert log_spectral_distance(series, series) == 0
    assert spectral_cosine(series, series) == pytest.approx(1)


def test_distance_rises_with_a_shift_of_frequency() -> None:
    series = oscillation(0.1, 0)
    distances = [d_hellinger(series, oscillation(0.1 + shift, 1)) for shift in (0.0, 0.004, 0.01, 0.05)]
    assert distances == sorted(distances)
    assert distances[0] < 0.1
    assert distances[-1] > 0.7
    assert spectral_cosine(series, oscillation(0.15, 1)) < 0.1


def test_disjoint_spectra_are_at_distance_one() -> None:
    assert d_hellinger(oscillation(0.1, 0, noise=0), oscillation(0.4, 1, noise=0)) > 0.98


def test_amplitude_does_not_count() -> None:
    series = oscillation(0.1, 0)
    assert d_hellinger(series, 5 * series + 3) == pytest.approx(0, abs=1e-7)


def test_weak_frequencies_count_in_decibels_and_not_in_the_cosine() -> None:
    clean, noisy = oscillation(0.1, 0, noise=0.01), oscillation(0.1, 0, noise=0.1)
    assert spectral_cosine(clean, noisy) > 0.99
    assert log_spectral_distance(clean, noisy) > 15  # the floor is 20 dB higher


def test_gaps_are_not_crossed_and_lengths_may_differ() -> None:
    series = oscillation(0.1, 0)
    series[[700, 1400]] = np.nan
    assert segment_length(series) == 256
    assert d_hellinger(series, list(oscillation(0.1, 1).reshape(10, 200, 2))) < 0.1


def test_a_constant_region_is_at_distance_one_and_short_series_have_no_distance() -> None:
    series = oscillation(0.1, 0)
    assert d_hellinger(series, np.zeros_like(series)) == 1
    assert np.isnan(d_hellinger(series, series[:10]))
