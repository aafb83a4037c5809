"""Functional connectivity of electrophysiological series by frequency band.

Series are time first, (n_times, n_regions), or a sequence of such runs. NaN rows are censored: no filter, window or
envelope crosses them, nor the border of a run. Regions without data get NaN rows and columns, as in `functional`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, hilbert, sosfiltfilt

from bids_ai.connectome.leakage import symmetric_orthogonalisation
from bids_ai.errors import InputError
from bids_ai.surrogate.usable import FloatArray, as_runs, region_reasons, usable_frames

Series = npt.NDArray[np.float64] | Sequence[npt.NDArray[np.float64]]
Band = tuple[float, float]
Orthogonalisation = Literal["symmetric", "pairwise", "none"]
Spectral = Literal["imcoh", "coherence", "wpli2_debiased", "pli", "ciplv"]

#: The bands of the IFCN (Babiloni et al. 2020, doi:10.1016/j.clinph.2019.06.234: 0.1 to below 4, 4 to below 8, 8 to 13,
#: 14 to 30, above 30 Hz), from 1 Hz, because windows of seconds hold nothing slower, to 45 Hz, below the mains.
BANDS_HZ: Mapping[str, Band] = {
    "delta": (1.0, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 13.0),
    "beta": (13.0, 30.0),
    "gamma": (30.0, 45.0),
}

#: Envelopes are smoothed below this before they are correlated, Hz. Hipp et al. 2012, doi:10.1038/nn.3101, and
#: Colclough et al. 2015 take about one sample a second; power of the alpha rhythm waxes and wanes below 1 Hz.
ENVELOPE_HZ = 1.0
#: Windows of cross-spectra, s: half a hertz of resolution.
WINDOW_S = 2.0
#: A stretch shorter than this many periods of the lowest frequency of the band is not filtered: its edges would be all
#: of it.
LEAST_PERIODS = 6.0
#: Left out at both ends of a stretch once filtered, periods of the lowest frequency.
EDGE_PERIODS = 1.0
#: Fewer windows make no estimate of a phase lag: the debiased wPLI divides by pairs of them.
LEAST_WINDOWS = 5
_FILTER_ORDER = 3
#: mne-connectivity's names of the measures.
_MEASURES: Mapping[str, str] = {
    "imcoh": "imcoh",
    "coherence": "coh",
    "wpli2_debiased": "wpli2_debiased",
    "pli": "pli",
    "ciplv": "ciplv",
}


def envelope_correlation(
    series: Series, sampling_hz: float, band: str | Band, *, orthogonalise: Orthogonalisation = "symmetric"
) -> FloatArray:
    """Amplitude envelope correlation in a band.

    Series are filtered, freed of what they share without delay, and their smoothed log-free envelopes correlated over
    all good stretches, each standardised by itself.

    Parameters
    ----------
    series : (n_times, n_regions) array or sequence of such runs
    sampling_hz : float
    band : str or (low, high)
        Name of `BANDS_HZ`, or Hz.
    orthogonalise : {"symmetric", "pairwise", "none"}
        All regions at once (Colclough et al. 2015, doi:10.1016/j.neuroimage.2015.03.071), each pair both ways (Hipp et
        al. 2012, doi:10.1038/nn.3101; for more regions than independent channels), or not at all.

    Returns
    -------
    (n_regions, n_regions) array
        Symmetric; diagonal NaN, as are regions without data.

    Raises
    ------
    InputError
        For an unknown band or orthogonalisation, a band above half of the sampling rate, no stretch that is long
        enough, or more regions than independent series (symmetric).
    """
    if orthogonalise not in ("symmetric", "pairwise", "none"):
        raise InputError(f"Orthogonalisation: 'symmetric', 'pairwise' or 'none' is wanted, got {orthogonalise!r}.")
    limits = band_limits(band, sampling_hz)
    stretches, usable = good_stretches(series, LEAST_PERIODS / limits[0] * sampling_hz)
    analytic = [_analytic(piece, sampling_hz, limits) for piece in stretches]
    if orthogonalise == "symmetric":
        # One mixing for all: leakage is the same in every stretch.
        joined = symmetric_orthogonalisation(np.concatenate([piece.real for piece in analytic]))
        edges = np.cumsum([len(piece) for piece in analytic])[:-1]
        analytic = [hilbert(piece, axis=0) for piece in np.split(joined, edges)]
    if orthogonalise == "pairwise":
        matrix = _pairwise(analytic, sampling_hz)
    else:
        pooled = np.concatenate([_standard(_smooth(np.abs(piece), sampling_hz)) for piece in analytic])
        matrix = pooled.T @ pooled / len(pooled)
    matrix = np.clip((matrix + matrix.T) / 2.0, -1.0, 1.0)
    np.fill_diagonal(matrix, np.nan)
    return _expand(matrix, usable)


def spectral_connectivity(
    series: Series, sampling_hz: float, band: str | Band, measure: Spectral = "imcoh", *, window_s: float = WINDOW_S
) -> FloatArray:
    """Connectivity from cross-spectra over windows, mean over the frequencies of a band.

    Computed by mne-connectivity with multitapers, over windows that overlap nothing and contain no censored sample.

    Parameters
    ----------
    series : (n_times, n_regions) array or sequence of such runs
    sampling_hz : float
    band : str or (low, high)
        Name of `BANDS_HZ`, or Hz.
    measure : {"imcoh", "coherence", "wpli2_debiased", "pli", "ciplv"}
        Absolute imaginary part of coherency (Nolte et al. 2004, doi:10.1016/j.clinph.2004.04.029); debiased estimate
        of the squared weighted phase lag index (Vinck et al. 2011, doi:10.1016/j.neuroimage.2011.01.055), which may be
        below zero where there is nothing; coherence, which leakage fills; phase lag index (Stam et al. 2007,
        doi:10.1002/hbm.20346); corrected imaginary phase locking value (Bruna et al. 2018,
        doi:10.1088/1741-2552/aacfe4).
    window_s : float
        At least two periods of the lowest frequency, s.

    Returns
    -------
    (n_regions, n_regions) array
        Symmetric, without sign; diagonal NaN, as are regions without data.

    Raises
    ------
    InputError
        For an unknown band or measure, a band above half of the sampling rate, or fewer than five windows.
    """
    if measure not in _MEASURES:
        raise InputError(f"Spectral measure: one of {', '.join(_MEASURES)} is wanted, got {measure!r}.")
    limits = band_limits(band, sampling_hz)
    if window_s * limits[0] < 2.0:
        raise InputError(
            f"Windows of {window_s:g} s hold fewer than two periods of {limits[0]:g} Hz; use {2.0 / limits[0]:g} s or "
            "more."
        )
    epochs, usable = windows(series, sampling_hz, window_s)
    from mne_connectivity import spectral_connectivity_epochs

    found = spectral_connectivity_epochs(
        epochs.transpose(0, 2, 1),
        method=_MEASURES[measure],
        mode="multitaper",
        sfreq=sampling_hz,
        fmin=limits[0],
        fmax=limits[1],
        faverage=measure != "imcoh",
        mt_adaptive=False,
        n_jobs=1,
        verbose="error",
    ).get_data(output="dense")
    # The sign of a lag may differ between frequencies of a band: magnitudes are averaged, not signs.
    lower = np.abs(found).mean(axis=2) if measure == "imcoh" else found[..., 0]
    matrix = np.asarray(lower + lower.T, float)
    np.fill_diagonal(matrix, np.nan)
    return _expand(matrix, usable)


def band_limits(band: str | Band, sampling_hz: float) -> Band:
    """Limits of a band, Hz.

    Raises
    ------
    InputError
        For an unknown name, limits that are no band, or a band that does not lie below half of the sampling rate.
    """
    if isinstance(band, str):
        if band not in BANDS_HZ:
            raise InputError(f"Band: one of {', '.join(BANDS_HZ)} or two limits in Hz are wanted, got {band!r}.")
        low, high = BANDS_HZ[band]
    else:
        low, high = float(band[0]), float(band[1])
    if not 0.0 < low < high < sampling_hz / 2.0:
        raise InputError(
            f"A band with 0 < low < high < {sampling_hz / 2.0:g} Hz (half of the sampling rate) is wanted, got "
            f"{low:g} to {high:g} Hz."
        )
    return low, high


def good_stretches(series: Series, least: float) -> tuple[list[FloatArray], npt.NDArray[np.bool_]]:
    """Uncensored stretches of the usable regions.

    Parameters
    ----------
    series : (n_times, n_regions) array or sequence of such runs
    least : float
        Samples; shorter stretches are left out.

    Returns
    -------
    stretches : list of (n_samples, n_usable) arrays
    usable : (n_regions,) array of bool

    Raises
    ------
    InputError
        For arrays of other shapes, infinite values, fewer than two usable regions, or when no stretch is long enough.
    """
    runs = as_runs(series)
    shapes = [run.shape for run in runs]
    if not runs or any(len(shape) != 2 for shape in shapes) or len({shape[1] for shape in shapes}) != 1:
        raise InputError(f"Expected runs (n_times, n_regions) of the same regions, got shapes {shapes}.")
    if any(np.isinf(run).any() for run in runs):
        raise InputError("The series contain infinite values; mark missing values as NaN.")
    reasons = region_reasons(runs)
    usable = np.array([column not in reasons for column in range(runs[0].shape[1])], dtype=bool)
    if usable.sum() < 2:
        raise InputError(f"Two usable regions are wanted for connectivity; {int(usable.sum())} of {len(usable)} are.")
    stretches: list[FloatArray] = []
    longest = 0
    for run in runs:
        good = usable_frames(run[:, usable])
        for first, last in np.flatnonzero(np.diff(np.r_[False, good, False].astype(int))).reshape(-1, 2):
            longest = max(longest, int(last - first))
            if last - first >= least:
                stretches.append(run[first:last, usable])
    if not stretches:
        raise InputError(
            f"A stretch of {int(np.ceil(least))} good samples is wanted for this band; the longest has {longest}. "
            "Censor less, or take a higher band."
        )
    return stretches, usable


def windows(series: Series, sampling_hz: float, window_s: float = WINDOW_S) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Windows side by side that contain no censored sample.

    Parameters
    ----------
    series : (n_times, n_regions) array or sequence of such runs
    sampling_hz, window_s : float

    Returns
    -------
    windows : (n_windows, n_samples, n_usable) array
    usable : (n_regions,) array of bool

    Raises
    ------
    InputError
        As `good_stretches`, and for fewer than five windows.
    """
    length = round(window_s * sampling_hz)
    stretches, usable = good_stretches(series, length)
    pieces = [
        piece[start : start + length] for piece in stretches for start in range(0, len(piece) - length + 1, length)
    ]
    if len(pieces) < LEAST_WINDOWS:
        raise InputError(
            f"{LEAST_WINDOWS} windows of {window_s:g} s without a gap are wanted, got {len(pieces)}. Use a longer "
            "recording, or shorter windows."
        )
    return np.stack(pieces), usable


def _analytic(piece: FloatArray, sampling_hz: float, limits: Band) -> npt.NDArray[np.complex128]:
    """Band-passed analytic signal without its ends."""
    sections = butter(_FILTER_ORDER, limits, btype="bandpass", fs=sampling_hz, output="sos")
    signal: npt.NDArray[np.complex128] = hilbert(sosfiltfilt(sections, piece - piece.mean(axis=0), axis=0), axis=0)
    edge = round(EDGE_PERIODS / limits[0] * sampling_hz)
    return signal[edge : len(signal) - edge]


def _smooth(envelope: FloatArray, sampling_hz: float) -> FloatArray:
    """Envelope below its limit; one too short for the filter stays as it is."""
    sections = butter(2, ENVELOPE_HZ, fs=sampling_hz, output="sos")
    pad = round(sampling_hz / ENVELOPE_HZ)
    if len(envelope) <= pad:
        return envelope
    smooth: FloatArray = sosfiltfilt(sections, envelope, axis=0, padlen=pad)
    return smooth


def _standard(values: FloatArray) -> FloatArray:
    """Mean 0 and SD 1 within a stretch: what differs between stretches would correlate all regions."""
    centred = values - values.mean(axis=0)
    standard: FloatArray = centred / np.maximum(centred.std(axis=0), 1e-300)
    return standard


def _pairwise(analytic: list[npt.NDArray[np.complex128]], sampling_hz: float) -> FloatArray:
    """Correlation of the envelope of each region with that of every other freed of it, both ways."""
    n = analytic[0].shape[1]
    total = sum(len(piece) for piece in analytic)
    matrix = np.zeros((n, n))
    for piece in analytic:
        own = _standard(_smooth(np.abs(piece), sampling_hz))
        for region in range(n):
            phase = piece[:, region].conj() / np.maximum(np.abs(piece[:, region]), 1e-300)
            rest = np.abs((piece * phase[:, None]).imag)
            rest[:, region] = 1.0
            other = _standard(_smooth(rest, sampling_hz))
            matrix[region] += own[:, region] @ other
    return matrix / total


def _expand(matrix: FloatArray, usable: npt.NDArray[np.bool_]) -> FloatArray:
    full = np.full((len(usable), len(usable)), np.nan)
    rows = np.flatnonzero(usable)
    full[rows[:, None], rows[None, :]] = matrix
    return full
