"""Events of a recording: rows of ``events.tsv`` as they stand, and the spans that spoil a signal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_ai.bids.electrophysiology.findings import Finding
from bids_ai.bids.electrophysiology.names import NameList
from bids_ai.bids.electrophysiology.sidecars import dataset_root
from bids_ai.bids.electrophysiology.text_tables import numbers, read_text_table, texts
from bids_ai.bids.metadata import read_metadata
from bids_ai.errors import InputError

#: Rows that are pulses: this word and no other. A row ``stimulation`` is a period of minutes in ds004080.
STIMULATION = "electrical_stimulation"
#: Rows that spoil what they cover.
SPOILING = ("artefact", "artifact", "seizure")


@dataclass(frozen=True)
class EventTable:
    """Rows of ``events.tsv``.

    Attributes
    ----------
    rows : DataFrame of str
        All columns, in the order of the file.
    onsets_s, durations_s : array (n_rows,)
        NaN where missing.
    trial_types : list of str or None
    meta : dict
        Content of the JSON sidecar.
    findings : tuple of Finding
    path : Path
    """

    rows: pd.DataFrame
    onsets_s: NDArray[np.float64]
    durations_s: NDArray[np.float64]
    trial_types: list[str | None]
    meta: dict[str, Any]
    findings: tuple[Finding, ...]
    path: Path

    def of_type(self, *trial_types: str) -> NDArray[np.intp]:
        """Rows whose ``trial_type`` is exactly one of these."""
        return np.flatnonzero([kind in trial_types for kind in self.trial_types])

    @property
    def has_stimulation(self) -> bool:
        """Whether there are pulses; neither the task label nor any other row says so."""
        return bool(len(self.of_type(STIMULATION)))


@dataclass(frozen=True)
class Span:
    """A stretch of a recording that is spoiled.

    Attributes
    ----------
    start_s, end_s : float
    kind : str
        ``trial_type`` of its row.
    contacts : tuple of str or None
        Which contacts; None for all.
    """

    start_s: float
    end_s: float
    kind: str
    contacts: tuple[str, ...] | None = None


def read_events(path: Path) -> EventTable:
    """Read ``events.tsv`` and its sidecar.

    Parameters
    ----------
    path : Path

    Returns
    -------
    EventTable

    Raises
    ------
    InputError
        If it is no table, or has no column ``onset``.
    """
    path = Path(path).absolute()
    table, findings = read_text_table(path)
    if "onset" not in table:
        raise InputError(f"{path} has no column 'onset' (it has {', '.join(table.columns)}); BIDS requires it.")
    onsets = numbers(table, "onset")
    if np.isnan(onsets).any():
        count = int(np.isnan(onsets).sum())
        findings.append(Finding("no-onset", f"{count} of {len(table)} events have no onset; they are left out.", count))
    known = onsets[np.isfinite(onsets)]
    if (np.diff(known) < 0).any():
        count = int((np.diff(known) < 0).sum())
        findings.append(
            Finding("out-of-order", f"{count} events come before the row above them; sorted.", count, severity="note")
        )
    meta = read_metadata(path, dataset_root(path))
    durations = numbers(table, "duration")
    return EventTable(table, onsets, durations, texts(table, "trial_type"), meta, tuple(findings), path)


def spoiled_spans(events: EventTable, channels: NameList) -> tuple[list[Span], list[Finding]]:
    """Spans of artefacts and seizures, with the contacts that they involve.

    Parameters
    ----------
    events : EventTable
    channels : NameList
        Names of the channels.

    Returns
    -------
    spans : list of Span
        Those without an onset are left out; one that names no known contact covers all.
    findings : list of Finding
    """
    columns = [texts(events.rows, f"electrodes_involved_{end}") for end in ("onset", "offset")]
    spans, unknown = [], []
    for row in events.of_type(*SPOILING):
        start = float(events.onsets_s[row])
        if not np.isfinite(start):
            continue
        words = [word for column in columns if column[row] for word in _words(str(column[row]), channels)]
        matches = [channels.find(word) for word in words]
        contacts = tuple(dict.fromkeys(match.name for match in matches if match))
        lost = [word for word, match in zip(words, matches, strict=True) if not match and word.lower() != "all"]
        unknown += lost
        everywhere = not contacts or bool(lost) or any(word.lower() == "all" for word in words)
        length = float(np.nan_to_num(events.durations_s[row]))
        spans.append(Span(start, start + length, str(events.trial_types[row]), None if everywhere else contacts))
    if not unknown:
        return spans, []
    text = f"{len(unknown)} names of involved electrodes are no channels ({unknown[0]!r}); such a span counts for all."
    return spans, [Finding("unknown-involved", text, len(unknown), tuple(dict.fromkeys(unknown)))]


def _words(cell: str, channels: NameList) -> list[str]:
    """Names in a cell; a name may hold spaces itself, so that the whole cell is tried first."""
    if channels.find(cell):
        return [cell]
    parts = [part.strip(" '\"[]()") for part in re.split(r"[,;|]", cell)]
    return [word for part in parts if part for word in ([part] if channels.find(part) else part.split())]
