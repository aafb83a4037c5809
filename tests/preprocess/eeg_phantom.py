"""A scalp recording without anatomy: smooth topographies of independent sources at sites of the 10-20 system."""

from __future__ import annotations

import mne
import numpy as np
from scipy.signal import butter, sosfiltfilt

from bids_ai.preprocess.eeg_positions import standard_montage

NAMES = [
    "Fp1", "Fp2", "AF3", "AF4", "F7", "F3", "Fz", "F4", "F8", "FC5", "FC1", "FC2", "FC6", "T7", "C3", "Cz",
    "C4", "T8", "CP5", "CP1", "CP2", "CP6", "P7", "P3", "Pz", "P4", "P8", "PO3", "PO4", "O1", "Oz", "O2",
]  # fmt: skip


def sites(names: list[str]) -> np.ndarray:
    """Directions of electrodes from the middle of the head, shape (n, 3)."""
    places = standard_montage().get_positions()["ch_pos"]
    points = np.array([places[name] for name in names]) - [0.0, 0.0, 0.02]
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def spread(directions: np.ndarray, at: np.ndarray, width: float) -> np.ndarray:
    """Bumps on the sphere, shape (n_at, n_directions)."""
    angle = np.arccos(np.clip(at @ directions.T, -1.0, 1.0))
    return np.exp(-0.5 * (angle / width) ** 2)


def brain(directions: np.ndarray, n_times: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth 1/f activity and an occipital alpha rhythm, microvolts, shape (n_times, n_channels)."""
    at = rng.standard_normal((60, 3))
    at /= np.linalg.norm(at, axis=1, keepdims=True)
    at[:, 2] = np.abs(at[:, 2])
    slow = np.cumsum(rng.standard_normal((n_times, 60)), axis=0)
    slow = sosfiltfilt(butter(2, 1.0, "highpass", fs=rate, output="sos"), slow, axis=0)
    series = slow / slow.std(axis=0) @ spread(directions, at, 0.5) * 4.0
    alpha = sosfiltfilt(butter(2, (9.0, 11.0), "bandpass", fs=rate, output="sos"), rng.standard_normal(n_times))
    back = np.array([[0.0, -1.0, 0.1]]) / np.linalg.norm([0.0, -1.0, 0.1])
    series += 12.0 * (alpha / alpha.std())[:, None] * spread(directions, back, 0.5)
    return series + 0.5 * rng.standard_normal(series.shape)


def blinks(
    directions: np.ndarray, n_times: int, rate: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Course of blinks (n_times,), microvolts, and their topography (n_channels,)."""
    course = np.zeros(n_times)
    times = np.arange(n_times) / rate
    for onset in np.arange(1.0, n_times / rate - 1.0, 3.0) + rng.uniform(-0.5, 0.5):
        course += 150.0 * np.exp(-0.5 * ((times - onset) / 0.08) ** 2)
    front = np.array([[0.0, 1.0, -0.1]]) / np.linalg.norm([0.0, 1.0, -0.1])
    return course, spread(directions, front, 0.7)[0]


def recording(
    names: list[str] = NAMES,
    *,
    seconds: float = 60.0,
    rate: float = 250.0,
    seed: int = 0,
    with_blinks: bool = True,
    montage: bool = True,
) -> tuple[mne.io.RawArray, np.ndarray, np.ndarray]:
    """A recording, its brain part (n_times, n_channels; microvolts), and the course of the blinks."""
    rng = np.random.default_rng(seed)
    directions, n_times = sites(list(names)), round(seconds * rate)
    cortex = brain(directions, n_times, rate, rng)
    course, topography = blinks(directions, n_times, rate, rng)
    series = cortex + (course[:, None] * topography if with_blinks else 0.0)
    raw = mne.io.RawArray(1e-6 * series.T, mne.create_info(list(names), rate, "eeg"), verbose="error")
    if montage:
        raw.set_montage(standard_montage(), verbose="error")
    return raw, cortex, course
