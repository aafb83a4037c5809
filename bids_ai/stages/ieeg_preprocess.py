"""Preprocessing of one intracranial recording: blanked, without mains, re-referenced, at its own sampling rate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_ai.bids.files import write_json
from bids_ai.bids.index import Recording
from bids_ai.bids.names import sidecar
from bids_ai.bids.tables import write_table
from bids_ai.stages.context import Context
from bids_ai.stages.signals import open_signal, stimulation_of, told, write_signal

if TYPE_CHECKING:
    from bids_ai.bids.electrophysiology.recording import OpenRecording
    from bids_ai.bids.electrophysiology.stimulation import Pulse, Stimulation
    from bids_ai.preprocess.ieeg import IeegPlan

#: Of the signal whose spectrum is drawn, s, and up to here, Hz.
_SPECTRUM_S, _HIGHEST_HZ = 60.0, 250.0

_CHANNEL_COLUMNS = {
    "contact_1": {"Description": "Contact that the channel is the signal of"},
    "contact_2": {"Description": "Contact that is subtracted from it; n/a for channels as recorded"},
}


def run(context: Context, ieeg: str) -> None:
    """Write the preprocessed recording; it is never whole in memory."""
    from bids_ai.preprocess.ieeg import plan_ieeg
    from bids_ai.preprocess.ieeg_stream import stream

    entry = context.index.recording(ieeg)
    opened = open_signal(entry)
    pulses = stimulation_of(context, entry, opened)
    settings = context.config.ieeg
    plan = plan_ieeg(
        opened,
        pulses,
        reference=settings.reference,
        line_method=settings.line_noise,
        find_bad=settings.find_bad_contacts,
    )
    findings = [*opened.findings, *pulses.findings, *plan.findings]
    _figures(context, entry, opened, pulses, plan)
    pieces = (data for _, data in stream(opened.raw, plan.contacts, plan.steps))
    quality = plan.figures | told(findings)
    meta = {"iEEGReference": plan.figures["Reference"], "QualityControl": quality}
    meta |= {"PowerLineFrequency": plan.figures["LineFrequency"] or "n/a"}
    write_signal(context, entry, pieces, plan.channel_table(opened), float(opened.raw.info["sfreq"]), meta)
    write_json(sidecar(context.names.path("ieeg_channels", ieeg=ieeg)), _CHANNEL_COLUMNS)
    _write_electrodes(context, entry, opened)


def _write_electrodes(context: Context, entry: Recording, opened: OpenRecording) -> None:
    """Positions of the contacts as they were read: BIDS wants them beside a recording, ``n/a`` where not known."""
    given = opened.electrodes
    names = list(given.names) if given else list(opened.channels.names)
    places = given.positions_mm if given else np.full((len(names), 3), np.nan)
    known = given is not None and given.frame.kind != "unknown"
    label = given.frame.label if given and known else "Other"
    system = {"iEEGCoordinateSystem": label, "iEEGCoordinateUnits": "mm"}
    if not known:
        system["iEEGCoordinateSystemDescription"] = "not known: the dataset does not say it"
    folder = Path(entry.item).parent
    holes = {"implant": str(folder / "_".join(part for part in folder.parts if part != "ieeg"))}
    table = pd.DataFrame(places, columns=["x", "y", "z"]).assign(size=None)
    table.insert(0, "name", names)
    write_table(context.names.path("electrodes", **holes), table)
    write_json(context.names.path("coordsystem", **holes), system)


def _figures(context: Context, entry: Recording, opened: OpenRecording, pulses: Stimulation, plan: IeegPlan) -> None:
    """Contacts, spectra before and after, one pulse before and after."""
    from bids_ai.report.figures import ieeg as draw
    from bids_ai.report.figures.spectra import plot_spectra

    holes = {"ephys": entry.item}
    draw.plot_contacts_quality(plan.quality_table(opened), context.names.figure("ieeg_contacts_figure", **holes))
    frequencies, before, after = _spectra(opened, plan)
    if len(frequencies):
        path = context.names.figure("ieeg_spectra_figure", **holes)
        line_hz = plan.figures["LineFrequency"]
        plot_spectra(frequencies, before, after, path, line_hz=line_hz, channels="contacts and channels")
    used = pulses.used
    if used:
        _draw_pulse(opened, plan, used[len(used) // 2], context.names.figure("ieeg_blanking_figure", **holes))


def _spectra(opened: OpenRecording, plan: IeegPlan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Power spectral densities of the longest stretch at rest, V2/Hz: of contacts as recorded, and of the channels."""
    from scipy.signal import welch

    from bids_ai.preprocess.ieeg_segments import segments

    rate = float(opened.raw.info["sfreq"])
    stretches = segments(plan.resting)
    if not stretches:
        return np.empty(0), np.empty((0, 0)), np.empty((0, 0))
    first, last = max(stretches, key=lambda stretch: stretch[1] - stretch[0])
    last = min(last, first + round(_SPECTRUM_S * rate))
    before = opened.raw.get_data(picks=list(plan.contacts), start=first, stop=last).T
    after = before
    for step in plan.steps:
        after = step(after, first)
    length = min(len(before), round(2 * rate))
    frequencies, densities = welch(before, rate, nperseg=length, axis=0)
    shown = frequencies <= _HIGHEST_HZ
    return frequencies[shown], densities[shown].T, welch(after, rate, nperseg=length, axis=0)[1][shown].T


def _draw_pulse(opened: OpenRecording, plan: IeegPlan, pulse: Pulse, path: Path) -> None:
    from bids_ai.preprocess.ieeg_blanking import AFTER_S, BEFORE_S, Blanking
    from bids_ai.report.figures.ieeg import plot_blanking

    rate = float(opened.raw.info["sfreq"])
    onset = round(pulse.onset_s * rate)
    first, last = max(onset - round(0.05 * rate), 0), min(onset + round(0.15 * rate), opened.raw.n_times)
    names = list(plan.contacts)
    before = opened.raw.get_data(picks=names, start=first, stop=last).T
    blanking = next(step for step in plan.steps if isinstance(step, Blanking))
    times = (np.arange(first, last) - onset) / rate
    title, stimulated = f"Pulse at {pulse.first} and {pulse.second}", (pulse.first, pulse.second)
    after = blanking(before, first)
    blank_s = (-BEFORE_S, AFTER_S)
    plot_blanking(times, before.T, after.T, names, path, blank_s=blank_s, stimulated=stimulated, title=title)
