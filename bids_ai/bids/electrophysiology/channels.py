"""The channels of a recording: names, types, filters, units, and which are bad."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from bids_ai.bids.electrophysiology.findings import Finding, shown
from bids_ai.bids.electrophysiology.names import NameList
from bids_ai.bids.electrophysiology.text_tables import names_of, numbers, read_text_table, texts
from bids_ai.bids.electrophysiology.units import unit_scale

#: Types that record neurons from inside; others are never part of an intracranial analysis.
INTRACRANIAL = ("SEEG", "ECOG", "DBS")

#: Types of BIDS 1.11 for EEG and iEEG -> those of MNE.
MNE_TYPES = {
    **{"EEG": "eeg", "ECOG": "ecog", "SEEG": "seeg", "DBS": "dbs", "ECG": "ecg", "EMG": "emg", "TRIG": "stim"},
    **{"EOG": "eog", "HEOG": "eog", "VEOG": "eog", "RESP": "resp", "GSR": "gsr", "TEMP": "temperature"},
    **dict.fromkeys(
        ("AUDIO", "EYEGAZE", "MISC", "PD", "PPG", "PUPIL", "REF", "SYSCLOCK", "ADC", "DAC", "OTHER"), "misc"
    ),
}
_SPELLINGS = {
    "EKG": "ECG",
    "IEEG": "",
    "TRIGGER": "TRIG",
    "STIM": "TRIG",
    "DEPTH": "SEEG",
    "GRID": "ECOG",
    "STRIP": "ECOG",
}


@dataclass(frozen=True)
class Channel:
    """One row of ``channels.tsv``.

    Attributes
    ----------
    name : str
    kind : str
        BIDS type, upper case (``SEEG``).
    unit : str or None
        As it stands in the table.
    high_pass_hz, low_pass_hz : float
        Edges of the recorded band (``low_cutoff`` and ``high_cutoff``); NaN where not said.
    good : bool
    why : str or None
        ``status_description``.
    group, reference : str or None
    sampling_hz : float
        NaN where not said.
    """

    name: str
    kind: str
    unit: str | None = None
    high_pass_hz: float = float("nan")
    low_pass_hz: float = float("nan")
    good: bool = True
    why: str | None = None
    group: str | None = None
    reference: str | None = None
    sampling_hz: float = float("nan")


@dataclass(frozen=True)
class ChannelTable:
    """All rows of ``channels.tsv``, and what was odd about them."""

    channels: tuple[Channel, ...]
    findings: tuple[Finding, ...] = ()
    path: Path | None = None

    @property
    def names(self) -> list[str]:
        """Names, in the order of the table."""
        return [channel.name for channel in self.channels]

    @property
    def bads(self) -> list[str]:
        """Channels whose status is bad."""
        return [channel.name for channel in self.channels if not channel.good]

    @cached_property
    def by_name(self) -> dict[str, Channel]:
        """Rows by their name."""
        return {channel.name: channel for channel in self.channels}

    @cached_property
    def name_list(self) -> NameList:
        """Names, to be found in spite of their spelling."""
        return NameList(self.names)

    def of_kind(self, kinds: Iterable[str] = INTRACRANIAL, *, good_only: bool = True) -> list[str]:
        """Names of the channels of some types.

        Parameters
        ----------
        kinds : iterable of str
        good_only : bool
            Leave out those whose status is bad.
        """
        wanted = set(kinds)
        return [entry.name for entry in self.channels if entry.kind in wanted and (entry.good or not good_only)]


def read_channels(path: Path, *, datatype: str = "ieeg") -> ChannelTable:
    """Read ``channels.tsv``.

    Parameters
    ----------
    path : Path
    datatype : {"ieeg", "eeg"}
        Of the recording, for a table that names no types.

    Returns
    -------
    ChannelTable

    Raises
    ------
    InputError
        If it is no table, or names are missing or not unique.
    """
    path = Path(path)
    table, findings = read_text_table(path)
    names = names_of(table, path)
    kinds = _kinds(table, names, datatype, findings)
    high_pass, low_pass = _cutoffs(table, names, findings)
    good = _status(table, names, findings)
    units = texts(table, "units")
    _check_units(names, kinds, units, findings)
    rows = zip(
        *(names, kinds, units, high_pass, low_pass, good, texts(table, "status_description"), texts(table, "group")),
        *(texts(table, "reference"), numbers(table, "sampling_frequency")),
        strict=True,
    )
    channels = tuple(
        Channel(name, kind, unit, float(high), float(low), bool(fine), why, group, reference, float(rate))
        for name, kind, unit, high, low, fine, why, group, reference, rate in rows
    )
    return ChannelTable(channels, tuple(findings), path)


def common_channels(tables: Sequence[ChannelTable], kinds: Iterable[str]) -> tuple[list[str], list[Finding]]:
    """Channels that several runs share, for an analysis that pools them.

    Parameters
    ----------
    tables : sequence of ChannelTable
        Of the runs.
    kinds : iterable of str
        Types that count.

    Returns
    -------
    names : list of str
        In the order of the first run.
    findings : list of Finding
        What every run has beyond the others, with counts.
    """
    wanted = tuple(kinds)
    sets = [set(table.of_kind(wanted, good_only=False)) for table in tables]
    shared = set.intersection(*sets) if sets else set()
    findings = []
    for table, own in zip(tables, sets, strict=True):
        extra = [name for name in table.names if name in own - shared]
        if extra:
            where = table.path.name if table.path else "one run"
            findings.append(
                Finding(
                    "channel-sets-differ",
                    f"{where} has {len(own)} channels of {', '.join(wanted)}, of which {len(extra)} are not in "
                    f"every run ({shown(extra)}); only the {len(shared)} shared ones are pooled.",
                    len(extra),
                    tuple(extra),
                )
            )
    return ([name for name in tables[0].names if name in shared] if tables else []), findings


def _kinds(table: pd.DataFrame, names: list[str], datatype: str, findings: list[Finding]) -> list[str]:
    default = "EEG" if datatype == "eeg" else "SEEG"
    given = texts(table, "type")
    if "type" not in table:
        text = f"channels.tsv has no column 'type', which BIDS requires: all {len(names)} are taken for {default}."
        findings.append(Finding("no-type-column", text, len(names)))
    kinds, strange = [], []
    for name, kind in zip(names, given, strict=True):
        key = (kind or "").upper()
        key = _SPELLINGS.get(key, key)
        if key not in MNE_TYPES:
            if "type" in table:
                strange.append(f"{name}: {kind}")
            key = default if "type" not in table else "OTHER"
        kinds.append(key)
    if strange:
        text = f"{len(strange)} channels have a type that BIDS has not ({shown(strange)}); they are left out as OTHER."
        findings.append(Finding("unknown-type", text, len(strange), tuple(strange)))
    if datatype == "ieeg":
        others = Counter(kind for kind in kinds if kind not in INTRACRANIAL)
        if others:
            listed = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
            text = f"{sum(others.values())} channels are not intracranial and take no part: {listed}."
            findings.append(Finding("other-types", text, sum(others.values()), severity="note"))
    return kinds


def _cutoffs(table: pd.DataFrame, names: list[str], findings: list[Finding]) -> tuple[np.ndarray, np.ndarray]:
    """Edges of the band. A high-pass above the low-pass would pass nothing: the columns were swapped."""
    low, high = numbers(table, "low_cutoff"), numbers(table, "high_cutoff")
    swapped = low > high
    if swapped.any():
        first = int(np.flatnonzero(swapped)[0])
        findings.append(
            Finding(
                "swapped-cutoffs",
                f"low_cutoff is above high_cutoff in {swapped.sum()} of {len(names)} channels ({names[first]}: "
                f"{low[first]:g} and {high[first]:g} Hz); they are taken the other way round.",
                int(swapped.sum()),
                tuple(np.array(names)[swapped].tolist()),
            )
        )
    return np.where(swapped, high, low), np.where(swapped, low, high)


def _status(table: pd.DataFrame, names: list[str], findings: list[Finding]) -> list[bool]:
    if "status" not in table:
        text = "channels.tsv has no column 'status': all channels are taken for good."
        findings.append(Finding("no-status-column", text, len(names), severity="note"))
        return [True] * len(names)
    status = [(cell or "good").lower() for cell in texts(table, "status")]
    strange = [f"{name}: {cell}" for name, cell in zip(names, status, strict=True) if cell not in ("good", "bad")]
    if strange:
        # A word that is neither is some reservation: such a channel does no harm left out.
        text = f"{len(strange)} channels have a status other than good or bad ({shown(strange)}); taken for bad."
        findings.append(Finding("unknown-status", text, len(strange), tuple(strange)))
    return [cell == "good" for cell in status]


def _check_units(names: list[str], kinds: list[str], units: list[str | None], findings: list[Finding]) -> None:
    electrical = set(INTRACRANIAL) | {"EEG"}
    odd = [
        f"{name}: {unit}"
        for name, kind, unit in zip(names, kinds, units, strict=True)
        if kind in electrical and unit is not None and unit_scale(unit, "V") is None
    ]
    if odd:
        text = f"{len(odd)} channels have a unit that is no voltage ({shown(odd)}); that of the signal file counts."
        findings.append(Finding("unknown-unit", text, len(odd), tuple(odd)))
