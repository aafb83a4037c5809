"""Region series of one EEG or iEEG recording in one atlas."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_ai.bids.index import Recording
from bids_ai.bids.tables import write_table, write_timeseries
from bids_ai.errors import InputError
from bids_ai.stages.contact_places import Channels, regions_of
from bids_ai.stages.context import Context
from bids_ai.stages.inputs import read_nodes
from bids_ai.stages.sidecars import atlas_identity, sources, versions
from bids_ai.stages.signals import open_signal, stimulation_of

if TYPE_CHECKING:
    from bids_ai.parcellation.contact_series import ContactSeries

#: Fewer channels as recorded have no mean that is quieter than themselves.
_LEAST_AVERAGE = 8


def run(context: Context, series: str, atlas: str) -> None:
    """Write the region series of one recording."""
    entry = context.index.recording(series)
    if entry.modality == "eeg":
        from bids_ai.stages.eeg_sources import write_sources

        write_sources(context, entry, atlas)
    else:
        _contacts(context, entry, atlas)


def _contacts(context: Context, entry: Recording, atlas: str) -> None:
    from bids_ai.parcellation.contact_series import series_of_contacts

    nodes = read_nodes(context, atlas)
    channels = Channels.read(context, entry)
    data, sampling_hz = _resampled(context, entry)
    data = _referenced(data, channels)
    used = _resting(context, entry, len(data), sampling_hz)
    regions, tissue, method = regions_of(context, entry, atlas, channels.names, channels.positions_mm, channels)
    if regions.level != "region":
        raise InputError(f"{entry.item}: {' '.join(regions.notes)}")
    made = series_of_contacts(data, regions, used)
    write_table(context.names.path("contacts", ieeg=entry.item, atlas=atlas), regions.table().assign(tissue=tissue))
    write_table(context.names.path("coverage", series=entry.series, atlas=atlas), _coverage(nodes, made))
    meta = {
        "Description": "First principal component of the channels of each region, in standard deviations",
        "AtlasTransformation": method,
        "Notes": list(regions.notes),
        "SecondsUsed": float(used.sum() / sampling_hz),
        "RegionsWithoutData": [str(name) for name, n in zip(nodes["name"], made.n_channels, strict=True) if not n],
    }
    publish(context, entry, atlas, made.series, sampling_hz, meta)


def publish(
    context: Context, entry: Recording, atlas: str, series: np.ndarray, sampling_hz: float, meta: dict[str, Any]
) -> None:
    """Write region series (n_times, n_regions) with their sidecar."""
    path = context.names.path(entry.modality, **{entry.modality: entry.item})
    common = {
        "SamplingFrequency": sampling_hz,
        "StartTime": 0.0,
        "NumberOfFramesCensored": int((~np.isfinite(series).any(axis=1)).sum()),
        "Sources": sources(context, path, entry.events),
        "PackageVersions": versions("mne", "numpy", "scipy"),
    }
    names = [str(name) for name in read_nodes(context, atlas)["name"]]
    target = context.names.timeseries(entry.series, atlas)
    write_timeseries(target, series, names, common | meta | atlas_identity(context, atlas))


def _resampled(context: Context, entry: Recording) -> tuple[np.ndarray, float]:
    """Preprocessed channels at the rate of region series, (n_times, n_channels), volts; channel by channel."""
    import mne
    from scipy.signal import resample_poly

    raw = mne.io.read_raw_brainvision(context.names.path("ieeg", ieeg=entry.item), preload=False, verbose="error")
    assert entry.tr is not None
    rate = float(raw.info["sfreq"])
    ratio = Fraction(1 / entry.tr / rate).limit_denominator(4096)
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
    """Samples of the region series without stimulation, artefacts and seizures."""
    from bids_ai.preprocess.ieeg_segments import stimulation_free_mask

    opened = open_signal(entry)
    pulses = stimulation_of(context, entry, opened)
    onsets = [pulse.onset_s for pulse in pulses.pulses]
    spoiled = [(span.start_s, span.end_s) for span in pulses.spans if span.contacts is None]
    return stimulation_free_mask(n_times, sampling_hz, onsets, spoiled_s=spoiled)


def _coverage(nodes: pd.DataFrame, made: ContactSeries) -> pd.DataFrame:
    kept = made.n_channels > 0
    return pd.DataFrame(
        {
            "index": nodes["index"],
            "name": nodes["name"],
            "n_channels": made.n_channels,
            "explained": made.explained,
            "coverage": kept.astype(float),
            "kept": kept,
            "reason": [None if there else "no contact" for there in kept],
        }
    )
