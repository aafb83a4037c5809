"""A recording with all that its tables say: signal opened lazily, types, bad channels, positions, line frequency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_ai.bids.electrophysiology.channels import INTRACRANIAL, MNE_TYPES, Channel, ChannelTable, read_channels
from bids_ai.bids.electrophysiology.electrodes import ElectrodeTable, choose_electrodes
from bids_ai.bids.electrophysiology.findings import Finding, shown
from bids_ai.bids.electrophysiology.formats import check_present, open_raw, signal_scale
from bids_ai.bids.electrophysiology.sidecars import dataset_root, find_tables
from bids_ai.bids.metadata import read_metadata, split_name
from bids_ai.errors import InputError

if TYPE_CHECKING:
    import mne

# Scalp and intracranial signals have SDs of microvolts to millivolts; a wrong unit is wrong by a factor of 1000 (V).
_SD_RANGE_V = (1e-7, 2e-2)


@dataclass(frozen=True)
class OpenRecording:
    """A recording that is open, not read.

    Attributes
    ----------
    raw : mne.io.BaseRaw
        Not preloaded; channel names as in ``channels.tsv``, only channels that are in both.
    channels : ChannelTable
        Rows of these channels, in the order of `raw`.
    electrodes : ElectrodeTable or None
    line_hz : float or None
        Power line frequency; None where the dataset does not say.
    meta : dict
        JSON sidecar.
    findings : tuple of Finding
        All oddities of the signal file and its tables.
    datatype : {"eeg", "ieeg"}
    """

    raw: mne.io.BaseRaw
    channels: ChannelTable
    electrodes: ElectrodeTable | None
    line_hz: float | None
    meta: dict[str, Any]
    findings: tuple[Finding, ...]
    datatype: str = "ieeg"

    def usable(self, kinds: Sequence[str] | None = None) -> list[str]:
        """Good channels of some types (default: EEG, or intracranial), without contacts that record silicone."""
        wanted = kinds or (("EEG",) if self.datatype == "eeg" else INTRACRANIAL)
        names = self.channels.of_kind(wanted)
        if self.electrodes is None or not self.electrodes.silicon:
            return names
        covered = set(self.electrodes.silicon)
        rows, _ = self.electrodes.rows_of(names)
        return [
            name
            for name, row in zip(names, rows, strict=True)
            if row is None or self.electrodes.names[row] not in covered
        ]


def read_recording(path: Path, *, space: str | None = None) -> mne.io.BaseRaw:
    """Open a recording of a BIDS dataset for MNE, with types, bad channels and positions of its tables.

    Parameters
    ----------
    path : Path
        Signal file: EDF, BDF, BrainVision, EEGLAB, MEF3 or NWB.
    space : str, optional
        Coordinate system of the positions, where there are several.

    Returns
    -------
    mne.io.BaseRaw
        Not preloaded. `open_recording` gives the tables and findings, too.
    """
    return open_recording(path, space=space).raw


def open_recording(path: Path, *, space: str | None = None) -> OpenRecording:
    """Open a recording of a BIDS dataset with its tables.

    Parameters
    ----------
    path : Path
        Signal file: EDF, BDF, BrainVision, EEGLAB, MEF3 or NWB.
    space : str, optional
        Coordinate system of the positions; by default the subject's own before a template.

    Returns
    -------
    OpenRecording

    Raises
    ------
    InputError
        If the file cannot be read, there is no ``channels.tsv``, or none of its names is in the file.
    """
    path = Path(path).absolute()
    check_present(path)
    tables = find_tables(path, "channels")
    if not tables:
        raise InputError(
            f"{path.name} has no channels.tsv beside or above it: BIDS requires one; types are read from it."
        )
    channels = read_channels(tables[0], datatype=_datatype(path))
    meta = read_metadata(path, dataset_root(path))
    raw, findings = open_raw(path)
    rows, more = _match(raw, channels, path)
    findings += more
    electrodes = choose_electrodes(path, space=space)
    findings += _describe(raw, rows, electrodes)
    line_hz = _line_frequency(meta, findings)
    with raw.info._unlock():
        raw.info["line_freq"] = line_hz
    _check_rates(raw, rows, meta, findings)
    _check_scale(raw, rows, findings)
    everything = (*channels.findings, *(electrodes.findings if electrodes else ()), *findings)
    table = ChannelTable(tuple(rows), channels.findings, channels.path)
    return OpenRecording(raw, table, electrodes, line_hz, meta, everything, _datatype(path))


def _datatype(path: Path) -> str:
    return "eeg" if split_name(path.name)[1] == "eeg" or path.parent.name == "eeg" else "ieeg"


def _match(raw: mne.io.BaseRaw, channels: ChannelTable, path: Path) -> tuple[list[Channel], list[Finding]]:
    """Name the channels of the file as the table does, and keep those that are in both."""
    matches = {name: channels.name_list.find(name) for name in raw.ch_names}
    taken: dict[str, str] = {}
    known: set[str] = set()
    for name, match in sorted(matches.items(), key=lambda item: item[1].level if item[1] else 0):
        if match and match.name not in known:
            taken[name] = match.name
            known.add(match.name)
    only_file = [name for name in raw.ch_names if name not in taken]
    only_table = [name for name in channels.names if name not in known]
    if not taken:
        raise InputError(
            f"None of the {len(raw.ch_names)} channels of {path.name} ({shown(raw.ch_names, 4)}) is among the "
            f"{len(channels.names)} of {channels.path.name if channels.path else 'channels.tsv'} "
            f"({shown(channels.names, 4)}): the table belongs to another recording. Correct its names."
        )
    findings = []
    for code, names, where, done in (
        ("only-in-file", only_file, "the file but not in channels.tsv", "left out"),
        ("only-in-table", only_table, "channels.tsv but not in the file", "absent"),
    ):
        if names:
            text = f"{len(names)} channels are in {where} ({shown(names)}); they are {done}, {len(taken)} are in both."
            findings.append(Finding(code, text, len(names), tuple(names)))
    spelled = {old: new for old, new in taken.items() if old != new}
    if spelled:
        text = f"{len(spelled)} channels are spelled otherwise in the file: "
        text += f"{shown(f'{old} = {new}' for old, new in spelled.items())}; the table's names are used."
        findings.append(Finding("channel-spelling", text, len(spelled), tuple(spelled), severity="note"))
    if only_file:
        raw.drop_channels(only_file)
    if spelled:
        raw.rename_channels(spelled, verbose="error")
    return [channels.by_name[name] for name in raw.ch_names], findings


def _describe(raw: mne.io.BaseRaw, rows: list[Channel], electrodes: ElectrodeTable | None) -> list[Finding]:
    """Set types, bad channels and positions."""
    import mne

    raw.set_channel_types({row.name: MNE_TYPES[row.kind] for row in rows}, on_unit_change="ignore", verbose="error")
    raw.info["bads"] = [row.name for row in rows if not row.good]
    placed = [row.name for row in rows if row.kind in (*INTRACRANIAL, "EEG")]
    if electrodes is None:
        text = "There is no electrodes.tsv: analyses stay at the level of channels."
        return [Finding("no-electrodes", text, len(placed), severity="note")]
    _, findings = electrodes.rows_of(placed)
    frame = electrodes.frame
    if frame.kind == "unknown":
        return findings  # MNE would take them for places in the head
    landmarks = {name: np.array(point) / 1e3 for name, point in frame.landmarks_mm if frame.kind == "sensor"}
    if frame.mne == "ctf_head" and not landmarks:
        text = f"Positions are in {frame.label}, without nasion and ears to turn them by; they are not given to MNE."
        return [*findings, Finding("no-landmarks", text, len(placed))]
    places = electrodes.positions_of(placed) / 1e3
    positions = {name: place for name, place in zip(placed, places, strict=True) if np.isfinite(place).all()}
    if positions:
        montage = mne.channels.make_dig_montage(positions, coord_frame=frame.mne, **landmarks)
        raw.set_montage(montage, on_missing="ignore", verbose="error")
    return findings


def _line_frequency(meta: dict[str, Any], findings: list[Finding]) -> float | None:
    stated = meta.get("PowerLineFrequency")
    if isinstance(stated, int | float) and not isinstance(stated, bool) and 45 <= stated <= 65:
        return float(stated)
    text = f"PowerLineFrequency is {stated!r}, where 50 or 60 is wanted; line noise is sought in the signal."
    findings.append(Finding("no-line-frequency", text))
    return None


def _check_rates(raw: mne.io.BaseRaw, rows: list[Channel], meta: dict[str, Any], findings: list[Finding]) -> None:
    """The file's sampling rate counts."""
    rate = float(raw.info["sfreq"])
    off = [row for row in rows if np.isfinite(row.sampling_hz) and abs(row.sampling_hz - rate) > 1e-3 * rate]
    if off:
        text = f"channels.tsv gives {off[0].sampling_hz:g} Hz for {len(off)} of {len(rows)} channels, "
        text += f"the file {rate:g} Hz; "
        findings.append(
            Finding("sampling-rate-table", text + "the file counts.", len(off), tuple(row.name for row in off))
        )
    stated = meta.get("SamplingFrequency")
    if isinstance(stated, int | float) and abs(stated - rate) > 1e-3 * rate:
        text = f"The JSON sidecar gives {stated:g} Hz, the file {rate:g} Hz; the file counts."
        findings.append(Finding("sampling-rate-json", text))
    length, said = raw.n_times / rate, meta.get("RecordingDuration")
    if isinstance(said, int | float) and said > 0 and abs(said - length) > max(1.0, 0.01 * said):
        text = f"RecordingDuration is {said:g} s, the file is {length:.6g} s long ({100 * length / said:.0f} %); "
        text += "the file counts."
        findings.append(Finding("duration", text))


def _check_scale(raw: mne.io.BaseRaw, rows: list[Channel], findings: list[Finding]) -> None:
    names = [row.name for row in rows if row.good and row.kind in (*INTRACRANIAL, "EEG")]
    sd = signal_scale(raw, names)
    if np.isfinite(sd) and sd > 0 and not _SD_RANGE_V[0] <= sd <= _SD_RANGE_V[1]:
        text = (
            f"The median SD of the channels is {sd:.3g} V, where microvolts to millivolts were wanted: the unit in the "
        )
        text += "signal file is probably wrong; amplitudes are not to be trusted."
        findings.append(Finding("signal-unit", text, len(names)))
