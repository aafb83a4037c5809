"""Line noise: which frequency it has, and taking it out (MNE-Python)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bids_ai.errors import InputError

Array = NDArray[np.floating]
Method = Literal["notch", "spectrum-fit", "none"]

LINE_HZ = (50.0, 60.0)
#: Width of the stop band and of its slopes (Hz).
NOTCH_HZ = 1.0
SLOPE_HZ = 1.0
# Length of a Hamming-windowed filter for a slope (Widmann et al. 2015, doi:10.1016/j.jneumeth.2014.08.002).
# The two slopes of a notch share the transition band in MNE, so that each has half of it.
_HAMMING = 2 * 3.3
_FIT_S = 10.0  # stretch over which the amplitude of a sine is taken for constant


def harmonics(line_hz: float, sampling_hz: float, *, highest_hz: float = np.inf) -> Array:
    """Line frequency and its multiples below the Nyquist frequency (with room for the slopes), Hz."""
    top = min(sampling_hz / 2 - NOTCH_HZ / 2 - SLOPE_HZ, highest_hz)
    return np.arange(line_hz, top, line_hz)


@dataclass(frozen=True)
class LineNoise:
    """Removal of line noise as a step of `ieeg_stream.stream`.

    Attributes
    ----------
    line_hz : float
    sampling_hz : float
    method : {"notch", "spectrum-fit", "none"}
        ``notch``: zero-phase FIR filters at the line frequency and its harmonics. ``spectrum-fit``: sines that are
        significant by a multitaper F test are fitted and subtracted (Mitra and Bokil 2008), which leaves the spectrum
        beside the line as it is, but needs stretches of 10 s.
    highest_hz : float
        Harmonics above are left.
    """

    line_hz: float
    sampling_hz: float
    method: Method = "notch"
    highest_hz: float = np.inf

    def __post_init__(self) -> None:
        if self.method not in ("notch", "spectrum-fit", "none"):
            raise InputError(f"Removal of line noise: notch, spectrum-fit or none is wanted, got {self.method!r}.")
        if not 0 < self.line_hz < self.sampling_hz / 2:
            raise InputError(
                f"Line frequency: between 0 and the Nyquist frequency ({self.sampling_hz / 2:g} Hz) is wanted, got "
                f"{self.line_hz:g} Hz."
            )

    @property
    def margin_s(self) -> float:
        """Half of the filter, or a stretch of the fit."""
        return {"notch": _HAMMING / SLOPE_HZ / 2 + 0.05, "spectrum-fit": _FIT_S, "none": 0.0}[self.method]

    def __call__(self, data: Array, start: int) -> Array:
        """Take the line noise out of a stretch (n_times, n_channels)."""
        return remove_line_noise(data, self.sampling_hz, self.line_hz, method=self.method, highest_hz=self.highest_hz)


def remove_line_noise(
    data: Array, sampling_hz: float, line_hz: float, *, method: Method = "notch", highest_hz: float = np.inf
) -> Array:
    """Take line noise and its harmonics out of a stretch.

    Parameters
    ----------
    data : array (n_times, n_channels)
        Blanked: a filter would spread artefacts.
    sampling_hz, line_hz : float
    method : {"notch", "spectrum-fit", "none"}
        See `LineNoise`.
    highest_hz : float

    Returns
    -------
    array (n_times, n_channels)

    Raises
    ------
    InputError
        If the stretch is too short for a filter (half a second).
    """
    import mne

    frequencies = harmonics(line_hz, sampling_hz, highest_hz=highest_hz)
    if method == "none" or not len(frequencies):
        return np.asarray(data, dtype=float)
    signal = np.ascontiguousarray(data.T, dtype=float)
    if signal.shape[1] < 0.5 * sampling_hz:
        raise InputError(f"Line noise: half a second at least is wanted, got {signal.shape[1] / sampling_hz:.3g} s.")
    if method == "notch":
        # A stretch shorter than the filter gets a wider notch.
        slope = max(SLOPE_HZ, 1.02 * _HAMMING * sampling_hz / (signal.shape[1] - 3))
        kept: Array = mne.filter.notch_filter(
            signal,
            sampling_hz,
            frequencies,
            filter_length=2 * int(np.ceil(_HAMMING / slope * sampling_hz / 2)) + 1,
            notch_widths=NOTCH_HZ,
            trans_bandwidth=slope,
            verbose="error",
        )
        return kept.T
    length = f"{min(_FIT_S, signal.shape[1] / sampling_hz):g}s"
    fitted: Array = mne.filter.notch_filter(
        signal, sampling_hz, frequencies, method="spectrum_fit", filter_length=length, verbose="error"
    )
    return fitted.T


def line_power_ratio(data: Array, sampling_hz: float, line_hz: float) -> Array:
    """Power at the line frequency against that beside it.

    Parameters
    ----------
    data : array (n_times, n_channels)
        At least half a second.
    sampling_hz, line_hz : float

    Returns
    -------
    array (n_channels,)
        Mean power within 1 Hz of the line over the median from 3 to 8 Hz away; about 1 without line noise; NaN for a
        flat channel.
    """
    from scipy.signal import periodogram

    frequencies, power = periodogram(data, sampling_hz, window="hann", detrend="linear", axis=0)
    away = np.abs(frequencies - line_hz)
    beside = (away >= 3.0) & (away <= 8.0)
    at = away <= max(1.0, frequencies[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Array = power[at].mean(axis=0) / np.median(power[beside], axis=0)
    return np.where(np.isfinite(ratio), ratio, np.nan)


def find_line_frequency(data: Array, sampling_hz: float, *, least: float = 3.0) -> float | None:
    """Tell from the signal whether the mains have 50 or 60 Hz.

    Parameters
    ----------
    data : array (n_times, n_channels)
        Some seconds, unfiltered.
    sampling_hz : float
    least : float
        Ratio of powers (`line_power_ratio`, 90th percentile over channels) that counts as line noise.

    Returns
    -------
    float or None
        Hz; None where neither stands out.
    """
    possible = [line for line in LINE_HZ if line + 8.0 < sampling_hz / 2]
    ratios = {line: _upper(line_power_ratio(data, sampling_hz, line)) for line in possible}
    best = max(ratios, key=lambda line: ratios[line], default=None)
    return best if best is not None and ratios[best] >= least else None


def _upper(ratios: Array) -> float:
    """Of the channels that have most of it: neighbours of the reference have hardly any."""
    return float(np.nanpercentile(ratios, 90)) if np.isfinite(ratios).any() else 0.0
