"""The tables and sidecars of a simulated SEEG, and the two conventions of stimulation events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bids_ai.errors import InputError
from bids_ai.simulate.electrodes import DIAMETER_MM, SPACING_MM, SURFACE_MM2, Implantation
from bids_ai.simulate.folder import write_json, write_table
from bids_ai.simulate.plan import Subject, entities, folder
from bids_ai.simulate.seeg import HIGH_PASS_HZ, LINE_HZ, LOW_PASS, Montage
from bids_ai.simulate.spes import PHASE_S, PULSES_PER_POLARITY, SpesPlan

Array = NDArray[np.floating]
Row = list[object]

_NONE = "n/a"
_PLACES = {"GM": "grey matter", "WM": "white matter", "CSF": "fluid", "outside": "no brain"}
#: What `trial_type` says of a pulse, in all datasets seen.
PULSE = "electrical_stimulation"


@dataclass(frozen=True)
class EventConvention:
    """How the pulses of a recording are written.

    Attributes
    ----------
    columns : list of str
    rows : function of (plan, names of the contacts, sampling rate in Hz)
    sidecar : dict
        What the columns mean.
    """

    columns: list[str]
    rows: Callable[[SpesPlan, list[str], float], list[Row]]
    sidecar: dict[str, object]


def event_convention(name: str) -> EventConvention:
    """The convention of a dataset on OpenNeuro.

    Raises
    ------
    InputError
        When it is not known.
    """
    if name not in _CONVENTIONS:
        raise InputError(f"Convention of events: one of {', '.join(_CONVENTIONS)} is wanted, got {name!r}.")
    return _CONVENTIONS[name]


def t1w_of(root: Path, subject: Subject) -> str | None:
    """BIDS URI of the subject's T1w in a dataset, None where there is none yet."""
    session = subject.t1w_session
    relative = f"{folder(subject, session, 'anat')}/{entities(subject, session)}_T1w.nii.gz"
    return f"bids::{relative}" if (root / relative).exists() else None


def write_electrodes(where: Path, stem: str, contacts: Implantation, t1w: str | None) -> None:
    """Table of the contacts and their coordinate system: scanner RAS of the T1w (``ScanRAS``)."""
    columns = ["name", "x", "y", "z", "size", "material", "manufacturer", "group", "hemisphere", "type"]
    described = zip(contacts.names, contacts.positions_mm, contacts.lead, contacts.hemisphere, strict=True)
    rows = [
        [name, *(f"{value:.3f}" for value in place), SURFACE_MM2, "platinum", _NONE, lead, side, "depth"]
        for name, place, lead, side in described
    ]
    write_table(where / f"{stem}_electrodes.tsv", columns, rows)
    write_json(
        where / f"{stem}_electrodes.json",
        {
            "name": {"Description": "Side, lead, and number of the contact from the tip of the lead"},
            **{axis: {"Description": f"Middle of the contact, {axis}, scanner RAS", "Units": "mm"} for axis in "xyz"},
            "size": {"Description": "Surface of the contact", "Units": "mm^2"},
            "group": {"Description": "Lead"},
            "hemisphere": {"Description": "Side of the lead", "Levels": {"L": "left", "R": "right"}},
        },
    )
    coordinates: dict[str, object] = {"IntendedFor": [t1w]} if t1w else {}
    coordinates |= {
        "iEEGCoordinateSystem": "ScanRAS",
        "iEEGCoordinateUnits": "mm",
        "iEEGCoordinateSystemDescription": "Scanner coordinates (RAS) of the subject's T1w image.",
        "iEEGCoordinateProcessingDescription": "none: contacts were placed in the T1w by the simulation",
    }
    write_json(where / f"{stem}_coordsystem.json", coordinates)


def write_channels(path: Path, contacts: Implantation, montage: Montage, sampling_hz: float) -> None:
    """Table of the channels of a recording."""
    columns = ["name", "type", "units", "low_cutoff", "high_cutoff", "reference", "group", "sampling_frequency"]
    columns += ["notch", "status", "status_description"]
    reference = contacts.names[montage.reference]
    rows: list[Row] = []
    for contact in montage.channels:
        bad = contact in montage.bad
        status = ["bad", "high impedance: line noise and drift"] if bad else ["good", _NONE]
        fixed = ["SEEG", "µV", HIGH_PASS_HZ, LOW_PASS * sampling_hz, reference]
        rows.append([contacts.names[contact], *fixed, contacts.lead[contact], sampling_hz, _NONE, *status])
    write_table(path, columns, rows)


def recording(
    contacts: Implantation, montage: Montage, sampling_hz: float, duration_s: float, stimulation: SpesPlan | None
) -> dict[str, object]:
    """Sidecar of a recording."""
    task = {
        "TaskName": "rest" if stimulation is None else "spes",
        "TaskDescription": "Rest" if stimulation is None else "Rest; single-pulse electrical stimulation of bipoles",
        "Instructions": "None: nobody lay in the bed.",
    }
    leads = list(dict.fromkeys(contacts.lead))
    tissue = _PLACES[contacts.tissue[montage.reference]]
    content: dict[str, object] = {
        **task,
        "SamplingFrequency": sampling_hz,
        "PowerLineFrequency": LINE_HZ,
        "SoftwareFilters": _NONE,
        "HardwareFilters": {
            "HighpassFilter": {"CutoffFrequency": HIGH_PASS_HZ},
            "LowpassFilter": {"CutoffFrequency": LOW_PASS * sampling_hz},
        },
        "Manufacturer": "none, simulated",
        "iEEGReference": f"{contacts.names[montage.reference]}, a contact in {tissue}",
        "iEEGGround": _NONE,
        "iEEGPlacementScheme": "depth leads, orthogonal, " + " and ".join(_sides(contacts)),
        "iEEGElectrodeGroups": "; ".join(f"{lead}: {contacts.lead.count(lead)} contacts" for lead in leads),
        "ElectrodeManufacturer": _NONE,
        "SEEGChannelCount": len(montage.channels),
        "ECOGChannelCount": 0,
        "EEGChannelCount": 0,
        "EOGChannelCount": 0,
        "ECGChannelCount": 0,
        "EMGChannelCount": 0,
        "MiscChannelCount": 0,
        "TriggerChannelCount": 0,
        "RecordingDuration": round(duration_s, 6),
        "RecordingType": "continuous",
        "SubjectArtefactDescription": _NONE,
        "ElectricalStimulation": stimulation is not None,
    }
    if stimulation is not None:
        content["ElectricalStimulationParameters"] = (
            f"Biphasic pulses of {1e3 * stimulation.current_a:g} mA, {1e3 * PHASE_S:g} ms each phase, at "
            f"{len(stimulation.sites)} pairs of neighbouring contacts (depth leads, {DIAMETER_MM} mm thick, contacts "
            f"{SPACING_MM} mm apart), {PULSES_PER_POLARITY} pulses in each polarity: see events.tsv"
        )
    return content


def _sides(contacts: Implantation) -> list[str]:
    return [word for letter, word in (("L", "left"), ("R", "right")) if letter in contacts.hemisphere]


def _seconds(value: float) -> str:
    """Times to the microsecond: six digits in all would not do after a thousand seconds."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _site(plan: SpesPlan, names: list[str], pulse: int) -> str:
    """First the contact that is positive in the first phase."""
    return "-".join(names[contact] for contact in plan.pairs[pulse])


def _utrecht_rows(plan: SpesPlan, names: list[str], sampling_hz: float) -> list[Row]:
    rows: list[Row] = []
    for pulse, onset in enumerate(plan.onsets_s):
        sample = round(float(onset) * sampling_hz)
        length = 2.0 * PHASE_S
        rows.append(
            [
                *[_seconds(onset), _seconds(length), PULSE, "SPES", _NONE, _NONE, _seconds(onset + length)],
                *[sample, sample + max(1, round(length * sampling_hz)), "biphasic", _site(plan, names, pulse)],
                *[plan.current_a, _frequency(plan), PHASE_S, _NONE],
            ]
        )
    return rows


def _mayo_rows(plan: SpesPlan, names: list[str], sampling_hz: float) -> list[Row]:
    rows: list[Row] = []
    for pulse, onset in enumerate(plan.onsets_s):
        numbers = "-".join(str(contact + 1) for contact in plan.pairs[pulse])
        rows.append(
            [
                *[_seconds(onset), _seconds(2.0 * PHASE_S), PULSE, _NONE, _NONE, round(float(onset) * sampling_hz)],
                *["biphasic", _site(plan, names, pulse), numbers, f"{1e3 * plan.current_a:.1f} mA", _NONE],
                *["good", _NONE],
            ]
        )
    return rows


def _frequency(plan: SpesPlan) -> float:
    """Pulses in a second at one site."""
    return round(1.0 / float(np.median(np.diff(plan.onsets_s))), 2)


_COMMON: dict[str, object] = {
    "onset": {"Description": "Onset of the event", "Units": "s"},
    "duration": {"Description": "Duration of the event; of a pulse both phases", "Units": "s"},
    "trial_type": {"Description": "Type of event", "Levels": {PULSE: "A single pulse between two contacts"}},
    "electrodes_involved_onset": {"Description": "Electrodes involved at the onset"},
    "electrodes_involved_offset": {"Description": "Electrodes involved at the offset"},
    "sample_start": {"Description": "Onset in samples, the first sample being 0"},
    "electrical_stimulation_type": {"Description": "Monophasic or biphasic pulses"},
    "electrical_stimulation_site": {"Description": "Contacts of the pair, that of the leading positive phase first"},
    "notes": {"Description": "Notes"},
}

_CONVENTIONS = {
    "ds004080": EventConvention(
        [
            *["onset", "duration", "trial_type", "sub_type", "electrodes_involved_onset"],
            *["electrodes_involved_offset", "offset", "sample_start", "sample_end", "electrical_stimulation_type"],
            *["electrical_stimulation_site", "electrical_stimulation_current", "electrical_stimulation_frequency"],
            *["electrical_stimulation_pulsewidth", "notes"],
        ],
        _utrecht_rows,
        _COMMON
        | {
            "sub_type": {"Description": "More about the type", "Levels": {"SPES": "single-pulse stimulation"}},
            "offset": {"Description": "End of the event", "Units": "s"},
            "sample_end": {"Description": "End in samples"},
            "electrical_stimulation_current": {"Description": "Current", "Units": "A"},
            "electrical_stimulation_frequency": {"Description": "Pulses in a second", "Units": "Hz"},
            "electrical_stimulation_pulsewidth": {"Description": "Width of one phase", "Units": "s"},
        },
    ),
    "ds004696": EventConvention(
        [
            *["onset", "duration", "trial_type", "electrodes_involved_onset", "electrodes_involved_offset"],
            *["sample_start", "electrical_stimulation_type", "electrical_stimulation_site"],
            *["electrical_stimulation_site_num", "electrical_stimulation_current", "notes", "status"],
            "status_description",
        ],
        _mayo_rows,
        _COMMON
        | {
            "electrical_stimulation_site_num": {"Description": "Rows of the contacts in electrodes.tsv, from 1"},
            "electrical_stimulation_current": {"Description": "Current, a number and its unit"},
            "status": {"Description": "Good or bad pulse"},
            "status_description": {"Description": "Why a pulse is bad"},
        },
    ),
}
