"""Contacts and where they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_ai.bids.electrophysiology.coordinates import Frame, Kind, check_readme, read_frame
from bids_ai.bids.electrophysiology.findings import Finding, shown
from bids_ai.bids.electrophysiology.names import NameList
from bids_ai.bids.electrophysiology.sidecars import dataset_root, find_tables
from bids_ai.bids.electrophysiology.text_tables import names_of, numbers, read_text_table, texts
from bids_ai.bids.metadata import split_name


@dataclass(frozen=True)
class ElectrodeTable:
    """Rows of ``electrodes.tsv``.

    Attributes
    ----------
    names : tuple of str
    positions_mm : array (n_contacts, 3)
        In the frame; NaN where missing.
    frame : Frame
    columns : DataFrame of str
        All columns as text (labels, tissue, ...), in the order of `names`.
    findings : tuple of Finding
    path : Path or None
    """

    names: tuple[str, ...]
    positions_mm: NDArray[np.float64]
    frame: Frame
    columns: pd.DataFrame
    findings: tuple[Finding, ...] = ()
    path: Path | None = None

    @cached_property
    def name_list(self) -> NameList:
        """Names, to be found in spite of their spelling."""
        return NameList(self.names)

    @property
    def usable(self) -> bool:
        """Whether positions can be related to a brain."""
        return self.frame.kind in ("template", "native") and bool(np.isfinite(self.positions_mm).any())

    @property
    def silicon(self) -> list[str]:
        """Contacts that lie on others and record silicone (ds004080)."""
        given = texts(self.columns, "silicon")
        return [
            name for name, cell in zip(self.names, given, strict=True) if (cell or "").lower() in ("yes", "true", "1")
        ]

    def column(self, name: str) -> list[str | None]:
        """Cells of a column by its name in any case, None where missing."""
        return texts(self.columns, name.lower())

    def rows_of(self, channels: Sequence[str]) -> tuple[list[int | None], list[Finding]]:
        """Rows of channels, whose names may be spelled otherwise (``Oc1`` and ``OC1``, ``RV1`` and ``-RV1``).

        Parameters
        ----------
        channels : sequence of str

        Returns
        -------
        rows : list of int or None
            None for a channel without a row.
        findings : list of Finding
            Spellings that were overlooked, and channels without a row.
        """
        row_of = {name: row for row, name in enumerate(self.names)}
        rows: list[int | None] = []
        spelled: dict[str, list[str]] = {}
        lost = []
        for channel in channels:
            match = self.name_list.find(channel)
            rows.append(None if match is None else row_of[match.name])
            if match is None:
                lost.append(channel)
            elif match.level:
                spelled.setdefault(match.how, []).append(f"{channel} = {match.name}")
        findings = [
            Finding(
                "electrode-names",
                f"{len(pairs)} channels and electrodes differ in {how}: {shown(pairs)}.",
                len(pairs),
                tuple(pairs),
            )
            for how, pairs in spelled.items()
        ]
        if lost:
            text = f"{len(lost)} of {len(channels)} channels are not in electrodes.tsv: {shown(lost)}."
            findings.append(Finding("no-electrode", text, len(lost), tuple(lost)))
        return rows, findings

    def positions_of(self, channels: Sequence[str]) -> NDArray[np.float64]:
        """Positions of channels, shape (n_channels, 3), mm in the frame; NaN where missing."""
        rows, _ = self.rows_of(channels)
        places = np.full((len(channels), 3), np.nan)
        for position, row in enumerate(rows):
            if row is not None:
                places[position] = self.positions_mm[row]
        return places

    def moved(self, matrix: NDArray[np.float64], label: str) -> ElectrodeTable:
        """Return the same contacts in another frame of the subject.

        Parameters
        ----------
        matrix : array (4, 4)
            From the frame of the positions, mm to mm.
        label : str
            Of the frame that it leads to, a native one.
        """
        places = self.positions_mm @ matrix[:3, :3].T + matrix[:3, 3]
        return replace(self, positions_mm=places, frame=Frame(label, "native"))


def find_electrodes(recording: Path) -> list[Path]:
    """Tables of electrodes that apply to a recording: one for every space there is."""
    found = find_tables(recording, "electrodes", ignore=("space",))
    chosen: dict[str | None, Path] = {}
    for path in found:
        chosen.setdefault(split_name(path.name)[0].get("space"), path)
    return list(chosen.values())


def read_electrodes(path: Path, coordsystem: Path | None = None) -> ElectrodeTable:
    """Read a table of electrodes with its coordinate system.

    Parameters
    ----------
    path : Path
        ``*_electrodes.tsv``.
    coordsystem : Path, optional
        By default the one with the same ``space-``, or without where there is no other.

    Returns
    -------
    ElectrodeTable

    Raises
    ------
    InputError
        If a file cannot be read, or names are missing or not unique.
    """
    path = Path(path)
    table, findings = read_text_table(path)
    names = names_of(table, path)
    positions = np.column_stack([numbers(table, axis) for axis in "xyz"]).reshape(-1, 3)
    partial = np.isfinite(positions).any(axis=1) & ~np.isfinite(positions).all(axis=1)
    # Several contacts cannot share the origin: zeros stand for positions that nobody filled in.
    zeros = (positions == 0).all(axis=1)
    unset = partial | (zeros if zeros.sum() > 1 else np.zeros(len(zeros), dtype=bool))
    if unset.any():
        which = [name for name, gone in zip(names, unset, strict=True) if gone]
        text = f"{len(which)} electrodes have coordinates of zeros or in part; they count as missing: {shown(which)}."
        findings.append(Finding("placeholder-coordinates", text, len(which), tuple(which)))
    positions[unset] = np.nan
    frame, more = read_frame(coordsystem or coordsystem_of(path), path, positions)
    missing = [name for name, place in zip(names, positions, strict=True) if not np.isfinite(place).all()]
    if missing:
        text = f"{len(missing)} of {len(names)} electrodes have no coordinates: {shown(missing)}."
        more.append(Finding("no-coordinates", text, len(missing), tuple(missing), severity="note"))
    more += check_readme(frame, dataset_root(path))
    return ElectrodeTable(tuple(names), positions * frame.mm, frame, table, (*findings, *more), path)


def coordsystem_of(electrodes: Path) -> Path | None:
    """Coordinate system of a table of electrodes: of the same space, or the one that names none."""
    space = split_name(electrodes.name)[0].get("space")
    found = find_tables(electrodes, "coordsystem", ".json", ignore=("space",))
    for wanted in dict.fromkeys((space, None)):
        for path in found:
            if split_name(path.name)[0].get("space") == wanted:
                return path
    return found[0] if len(found) == 1 and space is None else None


def choose_electrodes(
    recording: Path, *, space: str | None = None, prefer: Sequence[Kind] = ("native", "template", "sensor", "unknown")
) -> ElectrodeTable | None:
    """Read the table of electrodes to use for a recording.

    Parameters
    ----------
    recording : Path
    space : str, optional
        Coordinate system that is wanted; no other is taken.
    prefer : sequence of str
        Kinds of frames, the wanted first: an atlas that was brought to the subject needs native positions, one on the
        template those of this template.

    Returns
    -------
    ElectrodeTable or None
        None where there is none (of that space).
    """
    tables = [read_electrodes(path) for path in find_electrodes(recording)]
    if space is not None:
        tables = [table for table in tables if table.frame.label.lower() == space.lower()]
    order = {kind: position for position, kind in enumerate(prefer)}
    tables = [table for table in tables if table.frame.kind in order]
    return min(tables, key=lambda table: order[table.frame.kind], default=None)
