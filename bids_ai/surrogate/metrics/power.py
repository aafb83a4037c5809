"""Power spectra of each region: Hellinger distance D_H, cosine similarity, log-spectral distance.

Recordings and surrogates differ in length and have gaps, so that spectra are averaged periodograms of segments of the
same length (Welch 1967, doi:10.1109/TAU.1967.1161901), smoothed by a Gaussian, without the constant, and normalised
to sum 1: the total power does not count, its distribution over frequencies does.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from bids_ai.surrogate.metrics.series import Series, check_regions, stretches
from bids_ai.surrogate.usable import FloatArray

MAX_SEGMENT = 256
MIN_SEGMENT = 16
"""Frames per segment at most and at least: below, there are too few frequencies to compare."""
MIN_SEGMENTS = 4
"""So many segments (without overlap) fit the usable frames, so that a periodogram is an average."""
SMOOTHING = 1.0
"""SD of the Gaussian, frequency bins."""


def segment_length(*series: Series) -> int:
    """Frames per segment that serves all the series: a power of two; 0 where some series has too short stretches."""
    lengths = [[len(piece) for piece in stretches(item)] for item in series]
    longest = min(max(item, default=0) for item in lengths)
    total = min(sum(item) for item in lengths)
    length = MAX_SEGMENT
    while length > MIN_SEGMENT and (length > longest or length * MIN_SEGMENTS > total):
        length //= 2
    return length if length <= longest else 0


def power_spectra(series: Series, length: int, smoothing: float = SMOOTHING) -> FloatArray:
    """Smoothed, normalised power spectra, shape (length // 2, n_regions); columns sum to 1.

    Parameters
    ----------
    series : Series
    length : int
        Frames per segment (Hann window, half overlap); the rows are k / (length * TR) Hz, k = 1 ... length // 2.
    smoothing : float
        SD of the Gaussian over frequencies, bins; 0 for none.
    """
    window = np.hanning(length)[:, None]
    total, count = 0.0, 0
    for piece in stretches(series):
        if len(piece) < length:
            continue
        segments = np.lib.stride_tricks.sliding_window_view(piece, length, axis=0)[:: length // 2].swapaxes(1, 2)
        tapered = (segments - segments.mean(axis=1, keepdims=True)) * window
        total = total + (np.abs(np.fft.rfft(tapered, axis=1)) ** 2).sum(axis=0)
        count += len(segments)
    power = np.asarray(total / count)[1:]
    if smoothing > 0:
        power = gaussian_filter1d(power, smoothing, axis=0, mode="nearest")
    # A region without power has no frequency in common with any other: a distance of 1, not NaN.
    normalised: FloatArray = power / np.maximum(power.sum(axis=0), np.finfo(np.float64).tiny)
    return normalised


def d_hellinger(truth: Series, generated: Series, length: int | None = None) -> float:
    """D_H: Hellinger distance of the power spectra, mean over regions; 0 is perfect, 1 is no common frequency.

    Parameters
    ----------
    truth, generated : Series
    length : int, optional
        Frames per segment, by default as the shorter series allows. Distances can be compared only at one length.

    Returns
    -------
    float
        NaN where the stretches are too short. Two finite samples of one process are not at 0: compare with what two
        halves of the recording score.

    References
    ----------
    Mikhaeil, Monfared & Durstewitz 2022, "On the difficulty of learning chaotic dynamics with RNNs", NeurIPS 35.
    """
    spectra = _both(truth, generated, length)
    if spectra is None:
        return float("nan")
    overlap = np.minimum(np.sqrt(spectra[0] * spectra[1]).sum(axis=0), 1.0)
    return float(np.sqrt(1 - overlap).mean())


def spectral_cosine(truth: Series, generated: Series) -> float:
    """Cosine of the angle between the power spectra, mean over regions; between 0 and 1, 1 is perfect.

    Steep spectra are alike in their few strongest frequencies, whatever else they do: values near .99 do not tell
    surrogates apart; see `log_spectral_distance`.
    """
    spectra = _both(truth, generated, smoothing=0)
    if spectra is None:
        return float("nan")
    norms = np.linalg.norm(spectra[0], axis=0) * np.linalg.norm(spectra[1], axis=0)
    return float(((spectra[0] * spectra[1]).sum(axis=0) / np.maximum(norms, np.finfo(np.float64).tiny)).mean())


def log_spectral_distance(truth: Series, generated: Series) -> float:
    """Root mean square difference of the spectra in decibels, mean over regions; 0 is perfect, no upper bound.

    Every frequency counts the same, however little power it has (Gray & Markel 1976,
    doi:10.1109/TASSP.1976.1162849).
    """
    spectra = _both(truth, generated)
    if spectra is None:
        return float("nan")
    decibels = 10 * np.log10(np.maximum(spectra[0], 1e-12) / np.maximum(spectra[1], 1e-12))
    return float(np.sqrt((decibels**2).mean(axis=0)).mean())


def _both(
    truth: Series, generated: Series, length: int | None = None, smoothing: float = SMOOTHING
) -> tuple[FloatArray, FloatArray] | None:
    check_regions(truth, generated)
    if length is None:
        length = segment_length(truth, generated)
    if not length:
        return None
    return power_spectra(truth, length, smoothing), power_spectra(generated, length, smoothing)
