"""Responses to single-pulse stimulation of one recording, site by channel: measures, test, averages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bids_ai.bids.files import write_json
from bids_ai.bids.index import Recording
from bids_ai.bids.names import sidecar
from bids_ai.bids.tables import write_table
from bids_ai.stages import ccep_figures, ccep_tables
from bids_ai.stages.contact_places import Channels
from bids_ai.stages.context import Context
from bids_ai.stages.evoked import HALVES, Mean, write_evoked
from bids_ai.stages.signals import open_signal, stimulation_of

if TYPE_CHECKING:
    from bids_ai.bids.electrophysiology.stimulation import Stimulation
    from bids_ai.ccep.epochs import Pulses, Read
    from bids_ai.ccep.recording import CcepSettings, RecordingCcep


def run(context: Context, ieeg: str) -> None:
    """Write the tables of sites and of features, and the mean responses."""
    import mne

    from bids_ai.ccep.recording import measure_recording

    entry = context.index.recording(ieeg)
    opened = open_signal(entry)
    stimulation = stimulation_of(context, entry, opened)
    channels = Channels.read(context, entry)
    signal = context.names.path("ieeg", ieeg=ieeg)
    raw = mne.io.read_raw_brainvision(signal, preload=False, verbose="error")
    rate, n_samples = float(raw.info["sfreq"]), int(raw.n_times)
    pulses, contacts = _pulses(stimulation, rate)
    involves = np.array([[contact in members for contact in contacts] for members in channels.members])
    distances = _distances(channels, contacts)

    def read(start: int, stop: int) -> np.ndarray:
        return np.asarray(raw.get_data(start=start, stop=stop))

    settings = _settings(context, entry)
    reader, reference = _quiet_reference(read, pulses, rate, n_samples, channels, involves)
    found = measure_recording(
        reader, pulses, rate, n_samples, involves=involves, distances_mm=distances, settings=settings
    )
    sites = ccep_tables.site_names(found.planned, contacts)
    other = ccep_tables.other_currents(found, pulses)
    table = ccep_tables.site_table(found, sites, contacts, other, settings.min_pulses)
    write_table(context.names.path("ccep_sites", ieeg=ieeg), table)
    _write_averages(context, entry, found, sites, channels.names, rate)
    ccep_figures.draw_responses(context, entry, found, sites, channels, _nearest(found, distances))
    ccep_figures.draw_contacts(context, entry, channels, found, contacts)
    table = ccep_tables.feature_table(found, sites, contacts, channels.names, _nearest(found, distances))
    path = context.names.path("ccep_features", ieeg=ieeg)
    write_table(path, table)
    quality = ccep_tables.quality(found, stimulation, reference, other, settings)
    quality |= ccep_tables.notices(stimulation, found, distances, settings)
    write_json(sidecar(path), ccep_tables.describe(context, entry, signal, settings) | {"QualityControl": quality})


def _settings(context: Context, entry: Recording) -> CcepSettings:
    from bids_ai.ccep.recording import CcepSettings

    own = context.config.ccep
    return CcepSettings(
        detectors=tuple(own.detectors),
        exclusion_mm=own.exclusion_mm,
        min_pulses=own.min_pulses,
        every_current=own.every_current,
        n_draws=own.n_draws,
        responder=own.responder,
        seed=[context.config.random_seed, *Path(entry.item).name.encode()],
    )


def _pulses(stimulation: Stimulation, sampling_hz: float) -> tuple[Pulses, list[str]]:
    """Pulses in samples, and the contacts that their numbers stand for."""
    from bids_ai.ccep.epochs import Pulses

    known = [pulse for pulse in stimulation.pulses if pulse.first and pulse.second and np.isfinite(pulse.onset_s)]
    order = {name: position for position, name in enumerate(stimulation.channels)}
    contacts = sorted({name for pulse in known for name in (pulse.first, pulse.second)}, key=order.__getitem__)
    number = {name: position for position, name in enumerate(contacts)}
    return Pulses(
        samples=np.array([round(pulse.onset_s * sampling_hz) for pulse in known], int),
        anodes=np.array([number[pulse.first] for pulse in known], int),
        cathodes=np.array([number[pulse.second] for pulse in known], int),
        current_a=np.array([pulse.current_a for pulse in known], float),
        faults=["; ".join(pulse.reasons) for pulse in known],
    ), contacts


def _distances(channels: Channels, contacts: list[str]) -> np.ndarray | None:
    """From contacts to channels, mm, (n_contacts, n_channels); None where no position is known."""
    places = np.array([channels.middle([contact]) for contact in contacts]).reshape(-1, 3)
    apart = np.linalg.norm(places[:, None] - channels.positions_mm[None], axis=-1)
    return apart if np.isfinite(apart).any() else None


def _quiet_reference(
    read: Read, pulses: Pulses, sampling_hz: float, n_samples: int, channels: Channels, involves: np.ndarray
) -> tuple[Read, str]:
    """Reference grids and strips to those of their channels that respond least; differences stay as they are."""
    from bids_ai.preprocess.ieeg_quiet_reference import LEAST_AVERAGE, quiet_members

    surface = np.flatnonzero([len(members) == 1 for members in channels.members])
    if len(surface) < LEAST_AVERAGE:
        return read, "as preprocessed"
    members = quiet_members(read, pulses, sampling_hz, n_samples, surface, involves)

    def referenced(start: int, stop: int) -> np.ndarray:
        data = np.array(read(start, stop))
        data[surface] -= data[members].mean(axis=0)
        return data

    return referenced, f"mean of the {len(members)} of {len(surface)} surface channels that respond least (CARLA)"


def _nearest(found: RecordingCcep, distances: np.ndarray | None) -> np.ndarray:
    """From sites to channels, mm, (n_sites, n_channels); NaN where not known."""
    if distances is None:
        return np.full(found.p.shape, np.nan)
    pairs = np.array([found.planned[number].contacts for number in found.measured])
    return np.asarray(np.fmin(distances[pairs[:, 0]], distances[pairs[:, 1]]))


def _write_averages(
    context: Context, entry: Recording, found: RecordingCcep, sites: list[str], names: list[str], rate: float
) -> None:
    """Mean responses as MNE's Evoked, one a site, and those of odd and of even pulses; NaN in channels without data."""
    own = [sites[number] for number in found.measured]
    counts = [len(found.planned[number].pulses) for number in found.measured]
    start_s = float(found.times_s[0])
    whole = [Mean(*row) for row in zip(own, found.averages, counts, strict=True)]
    write_evoked(context.names.path("ccep_average", ieeg=entry.item), whole, names, rate, start_s)
    parts = [
        Mean(f"{name}, {half} pulses", data, (count + 1 - number) // 2)
        for number, half in enumerate(HALVES)
        for name, data, count in zip(own, found.half_averages[number], counts, strict=True)
    ]
    write_evoked(context.names.path("ccep_halves", ieeg=entry.item), parts, names, rate, start_s)
