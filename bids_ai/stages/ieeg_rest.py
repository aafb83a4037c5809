"""Channels of a preprocessed intracranial recording while nothing stimulates."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from bids_ai.bids.index import Recording
from bids_ai.stages.contact_places import Channels
from bids_ai.stages.context import Context
from bids_ai.stages.signals import open_signal, stimulation_of

#: Fewer channels as recorded have no mean that is quieter than themselves.
_LEAST_AVERAGE = 8


def resting_signal(
    context: Context, entry: Recording, channels: Channels, sampling_hz: float
) -> tuple[np.ndarray, float, np.ndarray]:
    """Read a recording at a lower rate, and tell the samples without stimulation, artefacts and seizures.

    Parameters
    ----------
    context : Context
    entry : Recording
    channels : Channels
    sampling_hz : float
        Rate wanted; a recording that is slower keeps its own.

    Returns
    -------
    data : array, shape (n_times, n_channels)
        Volts. Grids and strips are against their mean; differences stay as they are.
    sampling_hz : float
    resting : bool array, shape (n_times,)
    """
    data, rate = _resampled(context, entry, sampling_hz)
    return _referenced(data, channels), rate, _resting(context, entry, len(data), rate)


def _resampled(context: Context, entry: Recording, sampling_hz: float) -> tuple[np.ndarray, float]:
    """Preprocessed channels, (n_times, n_channels), volts; channel by channel, so that the whole is never in memory."""
    import mne
    from scipy.signal import resample_poly

    raw = mne.io.read_raw_brainvision(context.names.path("ieeg", ieeg=entry.item), preload=False, verbose="error")
    rate = float(raw.info["sfreq"])
    ratio = Fraction(sampling_hz / rate).limit_denominator(4096)
    if ratio >= 1:
        return np.asarray(raw.get_data().T), rate
    columns = [
        resample_poly(raw.get_data(picks=[name])[0], ratio.numerator, ratio.denominator).astype(np.float32)
        for name in raw.ch_names
    ]
    return np.stack(columns, axis=1), rate * float(ratio)


def _referenced(data: np.ndarray, channels: Channels) -> np.ndarray:
    """Take the mean off grids and strips, which are as recorded."""
    single = np.array([len(members) == 1 for members in channels.members])
    if single.sum() < _LEAST_AVERAGE:
        return data
    return np.asarray(data - np.where(single, data[:, single].mean(axis=1, keepdims=True), 0.0))


def _resting(context: Context, entry: Recording, n_times: int, sampling_hz: float) -> np.ndarray:
    """Samples without stimulation, artefacts and seizures."""
    from bids_ai.preprocess.ieeg_segments import stimulation_free_mask

    opened = open_signal(entry)
    pulses = stimulation_of(context, entry, opened)
    onsets = [pulse.onset_s for pulse in pulses.pulses]
    spoiled = [(span.start_s, span.end_s) for span in pulses.spans if span.contacts is None]
    return stimulation_free_mask(n_times, sampling_hz, onsets, spoiled_s=spoiled)
