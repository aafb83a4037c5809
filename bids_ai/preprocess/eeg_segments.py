"""Stretches of an EEG that are not used: muscle, jumps of amplitude, missing samples."""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

#: Band of muscle that no rhythm of the brain reaches on the scalp, Hz (the default of MNE; Muthukumaraswamy 2013,
#: doi:10.3389/fnhum.2013.00138), and its width where the sampling rate forces it down.
MUSCLE_HZ, _MUSCLE_WIDTH_HZ = (110.0, 140.0), 30.0
#: Below this a band of muscle holds too much else, Hz.
_LEAST_MUSCLE_HZ = 60.0
#: A band ends below this share of half of the sampling rate, where recorders' filters begin.
_NYQUIST_SHARE = 0.9
#: Windows in which amplitudes are looked at, s.
WINDOW_S = 1.0
#: Good stretches shorter than this between two bad ones are bad too, s.
_LEAST_GOOD_S = 0.3


class SegmentRecord(TypedDict):
    """One kind of bad segment: how many, how long together, and why there are none where it was left out."""

    description: str
    n_segments: int
    seconds: float
    rule: str


def mark_muscle(raw: Any, threshold: float) -> SegmentRecord:
    """Annotate bursts of muscle (``BAD_muscle``) by the z-score of high-frequency power, in place.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Not low-passed below the band.
    threshold : float
        Standard deviations.

    Returns
    -------
    SegmentRecord
    """
    import mne

    rate = float(raw.info["sfreq"])
    highest = min(MUSCLE_HZ[1], _NYQUIST_SHARE * min(rate / 2.0, float(raw.info["lowpass"])))
    band = (min(MUSCLE_HZ[0], highest - _MUSCLE_WIDTH_HZ), highest)
    if band[0] < _LEAST_MUSCLE_HZ:
        return _nothing("BAD_muscle", f"left out: {rate:g} Hz of sampling leave no band of muscle")
    if raw.n_times / rate < 2.0 * WINDOW_S:
        return _nothing("BAD_muscle", "left out: shorter than two seconds")
    found, _ = mne.preprocessing.annotate_muscle_zscore(
        raw, threshold, ch_type="eeg", min_length_good=_LEAST_GOOD_S, filter_freq=band, verbose="error"
    )
    raw.set_annotations(raw.annotations + found, verbose="error")
    return _record("BAD_muscle", found.duration, f"power from {band[0]:.0f} to {band[1]:.0f} Hz, z above {threshold:g}")


def mark_amplitude(raw: Any, limit_uv: float, description: str = "BAD_amplitude") -> SegmentRecord:
    """Annotate windows in which a good channel goes too far, in place.

    Parameters
    ----------
    raw : mne.io.BaseRaw
    limit_uv : float
        Peak to peak within a second, microvolts.
    description : str
        Of the annotations.

    Returns
    -------
    SegmentRecord
    """
    import mne

    rate = float(raw.info["sfreq"])
    picks = mne.pick_types(raw.info, eeg=True, exclude="bads")
    if not len(picks):
        return _nothing(description, "left out: no good channel")
    onset, duration = wide_windows(raw.get_data(picks=picks).T * 1e6, rate, limit_uv)
    start = onset + raw.first_samp / rate * (raw.info["meas_date"] is not None)
    found = mne.Annotations(start, duration, description, orig_time=raw.annotations.orig_time)
    raw.set_annotations(raw.annotations + found, verbose="error")
    return _record(description, duration, f"peak to peak above {limit_uv:g} uV within {WINDOW_S:g} s")


def wide_windows(data_uv: Array, sampling_hz: float, limit_uv: float) -> tuple[Array, Array]:
    """Stretches in which any channel exceeds a peak-to-peak amplitude.

    Parameters
    ----------
    data_uv : array, shape (n_times, n_channels)
        Microvolts.
    sampling_hz, limit_uv : float

    Returns
    -------
    onset_s, duration_s : arrays, shape (n_segments,)
        Neighbouring windows are one segment.
    """
    length = max(1, round(WINDOW_S * sampling_hz))
    starts = np.arange(0, len(data_uv), length)
    bad = np.array([np.ptp(data_uv[start : start + length], axis=0).max() > limit_uv for start in starts])
    edges = np.flatnonzero(np.diff(np.r_[False, bad, False].astype(int))).reshape(-1, 2)
    ends = np.minimum(edges[:, 1] * length, len(data_uv))
    return edges[:, 0] * length / sampling_hz, (ends - edges[:, 0] * length) / sampling_hz


def good_frames(raw: Any) -> NDArray[np.bool_]:
    """Samples outside of every annotation that begins with "bad", shape (n_times,).

    Parameters
    ----------
    raw : mne.io.BaseRaw
    """
    good = np.ones(raw.n_times, bool)
    rate = float(raw.info["sfreq"])
    offset = raw.first_samp / rate if raw.annotations.orig_time is not None else 0.0
    for one in raw.annotations:
        if one["description"].lower().startswith("bad"):
            first = round((one["onset"] - offset) * rate)
            last = round((one["onset"] - offset + one["duration"]) * rate)
            good[max(first, 0) : max(last, 0)] = False
    return good


def _record(description: str, durations: Array, rule: str) -> SegmentRecord:
    return {
        "description": description,
        "n_segments": len(durations),
        "seconds": round(float(np.sum(durations)), 3),
        "rule": rule,
    }


def _nothing(description: str, why: str) -> SegmentRecord:
    return {"description": description, "n_segments": 0, "seconds": 0.0, "rule": why}
