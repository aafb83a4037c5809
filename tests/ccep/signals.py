"""Signals with known answers."""

from __future__ import annotations

import numpy as np

from bids_ai.ccep.trials import Trials

HZ = 512.0
TIMES = np.arange(-512, 513) / HZ


def coloured(rng: np.random.Generator, n_channels: int, n_samples: int, slope: float, uv: float = 60.0) -> np.ndarray:
    """Noise with power 1/f^slope from 0.5 Hz on, volts."""
    frequency = np.fft.rfftfreq(n_samples, 1.0 / HZ)
    size = np.zeros_like(frequency)
    size[frequency >= 0.5] = frequency[frequency >= 0.5] ** (-slope / 2.0)
    phases = rng.standard_normal((2, n_channels, len(size)))
    noise = np.fft.irfft((phases[0] + 1j * phases[1]) * size, n_samples)
    return 1e-6 * uv * noise / noise.std(axis=1, keepdims=True)


def bump(peak_uv: float, at_s: float, sd_s: float, times_s: np.ndarray = TIMES) -> np.ndarray:
    """A Gaussian wave, volts."""
    return 1e-6 * peak_uv * np.exp(-0.5 * ((times_s - at_s) / sd_s) ** 2)


def trials_of(wave: np.ndarray, n_pulses: int = 10, noise_uv: float = 0.0, seed: int = 0) -> Trials:
    """Trials (n_pulses, n_channels, n_times) of one wave per channel, with white noise, of one polarity."""
    waves = np.atleast_2d(wave)
    noise = 1e-6 * noise_uv * np.random.default_rng(seed).standard_normal((n_pulses, *waves.shape))
    return Trials(waves + noise, TIMES, np.ones(n_pulses, int))
