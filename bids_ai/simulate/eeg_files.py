"""The resting EEG of a virtual patient as BIDS files, and its truth."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bids_ai import __version__
from bids_ai.simulate import eeg_truth
from bids_ai.simulate.eeg_artefacts import MAINS_HZ
from bids_ai.simulate.eeg_montage import CHANNEL_MONTAGE, LANDMARKS, Cap
from bids_ai.simulate.eeg_recording import (
    HIGH_PASS_HZ,
    LOW_PASS_SHARE,
    EegHead,
    EegRecording,
    eeg_head,
    eeg_size,
    record_eeg,
)
from bids_ai.simulate.folder import write_json, write_table
from bids_ai.simulate.patient import Patient
from bids_ai.simulate.plan import entities, folder

Array = NDArray[np.floating]

TASK = "rest"
SPACE = "CapTrak"
#: Microvolts of one step of the 16-bit integers in the file.
RESOLUTION_UV = 0.1
#: Codes of the marker file.
EVENT_VALUES = {"eyes_closed": 1, "eyes_open": 2}
_REFERENCE = "mean of the mastoids (M1, M2)"
_CAPTRAK = (
    "x from the left through the right preauricular point, y through the nasion, z upwards; the origin is the point "
    "of the first axis nearest to the nasion."
)


def write_eeg(
    root: Path,
    patient: Patient,
    seed: int,
    *,
    size: str = "small",
    session: str | None = None,
    mark_bad: bool = False,
    head: EegHead | None = None,
) -> Path:
    """Write a resting EEG of 64 channels with closed and open eyes, and its truth.

    ``eeg/*_task-rest_eeg`` in BrainVision format with channels, electrodes, coordinate system and events, and, below
    ``sourcedata/truth``, region series, leadfield, the part of the brain, artefacts and the bad channel.

    Parameters
    ----------
    root : Path
        The dataset.
    patient : Patient
    seed : int
        The same seed gives the same bytes.
    size : str
        ``"tiny"`` (20 s at 100 Hz), ``"small"`` (2 min at 250 Hz) or ``"full"`` (5 min at 500 Hz).
    session : str, optional
    mark_bad : bool
        Say in ``channels.tsv`` which channel is bad; by default that is left to who reads it.
    head : EegHead, optional
        Of this patient, seed and size (`eeg_head`), where several sessions share it; made by default.

    Returns
    -------
    Path
        The header (``.vhdr``) of the recording.

    Raises
    ------
    InputError
        When there is no such size.
    """
    plan = eeg_size(size)
    head = head or eeg_head(patient, seed, plan)
    recording = record_eeg(patient, head, seed, plan, session=session)
    where = root / folder(patient.subject, session, "eeg")
    stem = entities(patient.subject, session)
    name = f"{stem}_task-{TASK}"
    header = write_brainvision(where, f"{name}_eeg", recording.signal_uv, head.cap, recording)
    _write_channels(where / f"{name}_channels.tsv", recording, head.cap, mark_bad=mark_bad)
    _write_events(where / f"{name}_events", recording)
    write_json(where / f"{name}_eeg.json", _sidecar(recording, head.cap))
    _write_electrodes(where, stem, head.cap)
    _write_truth(root, patient, head, recording, session)
    return header


def write_brainvision(where: Path, name: str, series_uv: Array, cap: Cap, recording: EegRecording) -> Path:
    """Write series (n_times, n_channels) as BrainVision with the markers of the eyes; returns the header's path.

    Without a date: the bytes depend on the values alone.
    """
    from pybv import write_brainvision as write

    where.mkdir(parents=True, exist_ok=True)
    markers = [
        [round(block.onset_s * recording.clock.sampling_hz), EVENT_VALUES[block.name]]
        for block in recording.clock.blocks
    ]
    # The files name each other: written under their own names, in a folder of their own.
    working = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=where))
    try:
        write(
            data=series_uv.T * 1e-6,
            sfreq=recording.clock.sampling_hz,
            ch_names=list(cap.names),
            fname_base=name,
            folder_out=str(working),
            events=np.array(markers),
            resolution=RESOLUTION_UV,
            unit="µV",
            fmt="binary_int16",
        )
        for suffix in (".eeg", ".vmrk", ".vhdr"):
            (working / f"{name}{suffix}").replace(where / f"{name}{suffix}")
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return where / f"{name}.vhdr"


def _write_truth(root: Path, patient: Patient, head: EegHead, recording: EegRecording, session: str | None) -> None:
    out = root / "sourcedata" / "truth" / folder(patient.subject, session, "eeg")
    stem = entities(patient.subject, session)
    name = f"{stem}_task-{TASK}"
    write_brainvision(out, f"{name}_desc-brain_eeg", recording.brain_uv, head.cap, recording)
    eeg_truth.write_head(out, stem, head, patient.names)
    eeg_truth.write_series(out, name, head, recording, patient.names)
    eeg_truth.write_artefacts(out, name, head, recording)
    eeg_truth.write_description(out, name, head, recording)


def _write_channels(path: Path, recording: EegRecording, cap: Cap, *, mark_bad: bool) -> None:
    columns = [
        "name", "type", "units", "low_cutoff", "high_cutoff", "reference", "sampling_frequency",
        "status", "status_description",
    ]  # fmt: skip
    high = LOW_PASS_SHARE * recording.clock.sampling_hz
    rows: list[list[object]] = []
    for number, channel in enumerate(cap.names):
        bad = mark_bad and number == recording.bad_channel
        status = ["bad", recording.bad_kind] if bad else ["good", None]
        rate = recording.clock.sampling_hz
        rows.append([channel, "EEG", "µV", HIGH_PASS_HZ, high, "M1, M2", rate, *status])
    write_table(path, columns, rows)


def _write_events(stem: Path, recording: EegRecording) -> None:
    rows = [[block.onset_s, block.duration_s, block.name, EVENT_VALUES[block.name]] for block in recording.clock.blocks]
    write_table(stem.with_name(stem.name + ".tsv"), ["onset", "duration", "trial_type", "value"], rows)
    write_json(
        stem.with_name(stem.name + ".json"),
        {
            "trial_type": {
                "Description": "What the subject was asked to do with the eyes",
                "Levels": {
                    "eyes_closed": "Eyes closed until the next event or the end",
                    "eyes_open": "Eyes open until the next event or the end",
                },
            },
            "value": {
                "Description": "Code in the marker file",
                "Levels": {str(value): name for name, value in EVENT_VALUES.items()},
            },
        },
    )


def _sidecar(recording: EegRecording, cap: Cap) -> dict[str, object]:
    rate = recording.clock.sampling_hz
    return {
        "TaskName": TASK,
        "TaskDescription": "Rest with the eyes closed and open by turns; the subject is a network of known coupling.",
        "Instructions": "None: nobody sat in the chair.",
        "Manufacturer": "bids_ai",
        "ManufacturersModelName": "simulate",
        "SoftwareVersions": __version__,
        "SamplingFrequency": rate,
        "PowerLineFrequency": MAINS_HZ,
        "EEGReference": _REFERENCE,
        "EEGGround": "forehead",
        "EEGPlacementScheme": f"64 channels of the extended 10-20 system ({CHANNEL_MONTAGE})",
        "EEGChannelCount": len(cap.names),
        "EOGChannelCount": 0,
        "ECGChannelCount": 0,
        "EMGChannelCount": 0,
        "MiscChannelCount": 0,
        "TriggerChannelCount": 0,
        "RecordingDuration": recording.clock.n_times / rate,
        "RecordingType": "continuous",
        "SoftwareFilters": "n/a",
        "HardwareFilters": {
            "HighPass": {"HalfAmplitudeCutOffHz": HIGH_PASS_HZ, "Order": 1},
            "LowPass": {"HalfAmplitudeCutOffHz": LOW_PASS_SHARE * rate, "Phase": "zero"},
        },
    }


def _write_electrodes(where: Path, stem: str, cap: Cap) -> None:
    places = np.round(cap.in_captrak(cap.positions_mm), 3)
    rows = [[name, *place.tolist(), "sintered Ag/AgCl"] for name, place in zip(cap.names, places, strict=True)]
    write_table(where / f"{stem}_space-{SPACE}_electrodes.tsv", ["name", "x", "y", "z", "material"], rows)
    marks = {mark: np.round(cap.in_captrak(cap.landmarks_mm[mark]), 3).tolist() for mark in LANDMARKS}
    write_json(
        where / f"{stem}_space-{SPACE}_coordsystem.json",
        {
            "EEGCoordinateSystem": SPACE,
            "EEGCoordinateUnits": "mm",
            "EEGCoordinateSystemDescription": _CAPTRAK,
            "AnatomicalLandmarkCoordinates": marks,
            "AnatomicalLandmarkCoordinateSystem": SPACE,
            "AnatomicalLandmarkCoordinateUnits": "mm",
            "AnatomicalLandmarkCoordinateSystemDescription": _CAPTRAK,
        },
    )
