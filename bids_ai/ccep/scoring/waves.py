"""Waveforms and latencies of predicted against recorded responses, site by site, on channels that respond."""

from __future__ import annotations

import numpy as np

from bids_ai.ccep.reliability import spearman_brown
from bids_ai.ccep.scoring.recorded import Recorded
from bids_ai.ccep.trials import Array, BoolArray

#: Waveforms are compared from behind the artefact to the end of the slow wave, s.
WINDOW_S = (0.011, 0.3)


def explained_variance(recorded: Recorded, predicted: Array, pairs: BoolArray) -> Array:
    """Share of a site's responses that is predicted, 1 - sum (y - f)^2 / sum y^2 over channels and times.

    A prediction of no response has 0. NaN for a site without pairs.

    Parameters
    ----------
    recorded : Recorded
    predicted : array, shape (n_sites, n_channels, n_times)
    pairs : array of bool, shape (n_sites, n_channels)

    Returns
    -------
    array, shape (n_sites,)
    """
    y, f, used = _windowed(recorded, predicted, pairs)
    return 1.0 - _ratio(_sum((y - f) ** 2, used), _sum(y**2, used))


def explained_variance_ceiling(recorded: Recorded, pairs: BoolArray) -> Array:
    """What a prediction without noise would explain, sum odd even / sum y^2, shape (n_sites,).

    Noise of both halves is independent, so that their product is the power of what repeats itself.
    """
    if recorded.waveforms_odd is None or recorded.waveforms_even is None:
        return np.full(len(pairs), np.nan)
    y, odd, used = _windowed(recorded, recorded.waveforms_odd, pairs)
    _, even, also = _windowed(recorded, recorded.waveforms_even, pairs)
    used &= also
    return _ratio(_sum(odd * even, used), _sum(y**2, used))


def waveform_correlation(recorded: Recorded, predicted: Array, pairs: BoolArray) -> Array:
    """Mean over a site's pairs of the correlation over time, shape (n_sites,). Parameters: `explained_variance`."""
    y, f, used = _windowed(recorded, predicted, pairs)
    return _mean(_over_time(y, f), used)


def waveform_ceiling(recorded: Recorded, pairs: BoolArray) -> Array:
    """Root of the stepped-up correlation of both halves: that of a prediction without noise, shape (n_sites,)."""
    if recorded.waveforms_odd is None or recorded.waveforms_even is None:
        return np.full(len(pairs), np.nan)
    _, odd, used = _windowed(recorded, recorded.waveforms_odd, pairs)
    _, even, also = _windowed(recorded, recorded.waveforms_even, pairs)
    mean = _mean(_over_time(odd, even), used & also)
    return np.array([np.sqrt(spearman_brown(r)) if r > 0 else np.nan for r in mean.tolist()])


def latency_error(recorded: Recorded, predicted_s: Array, pairs: BoolArray) -> Array:
    """Mean absolute error of the latency over a site's pairs, s, shape (n_sites,).

    Parameters
    ----------
    recorded : Recorded
    predicted_s : array, shape (n_sites, n_channels)
    pairs : array of bool, shape (n_sites, n_channels)
    """
    if recorded.latency_s is None:
        return np.full(len(pairs), np.nan)
    used = pairs & np.isfinite(recorded.latency_s) & np.isfinite(predicted_s)
    return _mean(np.abs(recorded.latency_s - predicted_s), used)


def _windowed(recorded: Recorded, other: Array, pairs: BoolArray) -> tuple[Array, Array, BoolArray]:
    assert recorded.waveforms is not None  # the caller asks for waveforms only where there are some
    assert recorded.times_s is not None  # `Recorded` refuses waveforms without
    window = (recorded.times_s >= WINDOW_S[0]) & (recorded.times_s <= WINDOW_S[1])
    y, f = recorded.waveforms[..., window], other[..., window]
    used = pairs & np.isfinite(y).all(axis=-1) & np.isfinite(f).all(axis=-1) & window.any()
    return y, f, np.asarray(used)


def _sum(values: Array, used: BoolArray) -> Array:
    return np.where(used[..., None], values, 0.0).sum(axis=(1, 2))


def _over_time(a: Array, b: Array) -> Array:
    x, y = (one - one.mean(axis=-1, keepdims=True) if one.shape[-1] else one for one in (a, b))
    size = np.sqrt((x**2).sum(axis=-1) * (y**2).sum(axis=-1))
    return _ratio((x * y).sum(axis=-1), size)


def _mean(values: Array, used: BoolArray) -> Array:
    used = used & np.isfinite(values)
    return _ratio(np.where(used, values, 0.0).sum(axis=1), used.sum(axis=1).astype(float))


def _ratio(top: Array, bottom: Array) -> Array:
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom > 0)
