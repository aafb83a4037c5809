"""Mains in an EEG: which frequency it has, and taking it out."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy.signal import welch

from bids_ai.errors import InputError

Array = NDArray[np.floating]
LineMethod = Literal["notch", "spectrum_fit"]

#: Mains of the world, Hz.
MAINS_HZ = (50.0, 60.0)
#: Power at the mains relative to its surroundings (median over channels) from which it is a line: white noise of 30 s
#: stays below 1.5.
LINE_RATIO = 2.0
#: The line lies within this of the nominal frequency; its surroundings from the second to the third number, Hz.
_LINE_HZ, _NEAR_HZ, _FAR_HZ = 0.6, 2.0, 6.0
#: Windows of the spectrum, s, for a resolution of half a hertz.
_WINDOW_S = 2.0
#: A harmonic nearer than this to half of the sampling rate is left to the low-pass, Hz.
_MARGIN_HZ = 2.0


class LineRecord(TypedDict):
    """Mains found or given, what was done, and the ratio of its power to the surroundings before and after."""

    frequency_hz: float | None
    how_known: str
    method: str
    harmonics_hz: list[float]
    ratio_before: float | None
    ratio_after: float | None


def line_ratio(data: Array, sampling_hz: float, frequency_hz: float) -> float:
    """Power at a frequency relative to that around it, median over channels.

    Parameters
    ----------
    data : array, shape (n_times, n_channels)
    sampling_hz, frequency_hz : float

    Returns
    -------
    float
        1 where there is no line; NaN where the recording is too short or too coarsely sampled to tell.
    """
    length = round(_WINDOW_S * sampling_hz)
    if len(data) < length or frequency_hz + _NEAR_HZ > sampling_hz / 2.0:
        return float("nan")
    frequency, power = welch(data, sampling_hz, nperseg=length, axis=0)
    away = np.abs(frequency - frequency_hz)
    line, around = away <= _LINE_HZ, (away >= _NEAR_HZ) & (away <= _FAR_HZ)
    level = np.median(power[around], axis=0)
    alive = level > 0.0
    if not alive.any():
        return float("nan")
    return float(np.median(power[line].max(axis=0)[alive] / level[alive]))


def find_line(data: Array, sampling_hz: float) -> tuple[float | None, float]:
    """Frequency of the mains, 50 or 60 Hz, from the spectrum.

    Parameters
    ----------
    data : array, shape (n_times, n_channels)
    sampling_hz : float

    Returns
    -------
    frequency_hz : float or None
        None where neither stands out or could be seen.
    ratio : float
        Of the stronger one (`line_ratio`); NaN where neither could be seen.
    """
    ratios = {frequency: line_ratio(data, sampling_hz, frequency) for frequency in MAINS_HZ}
    seen = {frequency: ratio for frequency, ratio in ratios.items() if np.isfinite(ratio)}
    if not seen:
        return None, float("nan")
    best = max(seen, key=lambda frequency: seen[frequency])
    return (best if seen[best] >= LINE_RATIO else None), seen[best]


def remove_line(raw: Any, line_hz: float | None = None, method: LineMethod = "notch") -> LineRecord:
    """Take the mains and its harmonics out of a recording, in place.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        EEG channels, loaded.
    line_hz : float, optional
        Frequency of the mains (``PowerLineFrequency`` of BIDS); found from the spectrum by default.
    method : {"notch", "spectrum_fit"}
        Zero-phase notch, or sinusoids fitted by multitapers and subtracted (Mitra & Bokil 2007, "Observed Brain
        Dynamics", sec. 7.3), which leaves the spectrum around whole and takes some seconds a channel.

    Returns
    -------
    LineRecord

    Raises
    ------
    InputError
        When the method is unknown or the frequency is not positive.
    """
    if method not in ("notch", "spectrum_fit"):
        raise InputError(f"Line noise: 'notch' or 'spectrum_fit' is wanted, got {method!r}.")
    if line_hz is not None and not line_hz > 0.0:
        raise InputError(f"Line noise: a positive frequency in Hz is wanted, got {line_hz!r}; None finds it.")
    rate = float(raw.info["sfreq"])
    found, ratio = find_line(raw.get_data().T, rate) if line_hz is None else (line_hz, float("nan"))
    if line_hz is not None:
        ratio = line_ratio(raw.get_data().T, rate, line_hz)
    how = "given" if line_hz is not None else "from the spectrum"
    if found is None:
        how = "no line at 50 or 60 Hz" if np.isfinite(ratio) else "could not be seen at this rate and length"
        return _record(None, how, "none", [], ratio, float("nan"))
    harmonics = [float(f) for f in np.arange(found, rate / 2.0 - _MARGIN_HZ, found)]
    # A notch of 2 Hz of transition rings for 6.6 s: not on less.
    if not harmonics or raw.n_times / rate < 2.0 * 3.3:
        how += "; above half of the sampling rate" if not harmonics else "; too short for a notch"
        return _record(found, how, "none", [], ratio, float("nan"))
    raw.notch_filter(harmonics, method="fir" if method == "notch" else method, trans_bandwidth=1.0, verbose="error")
    return _record(found, how, method, harmonics, ratio, line_ratio(raw.get_data().T, rate, found))


def _record(
    frequency: float | None, how: str, method: str, harmonics: list[float], before: float, after: float
) -> LineRecord:
    return {
        "frequency_hz": frequency,
        "how_known": how,
        "method": method,
        "harmonics_hz": harmonics,
        "ratio_before": round(before, 2) if np.isfinite(before) else None,
        "ratio_after": round(after, 2) if np.isfinite(after) else None,
    }
