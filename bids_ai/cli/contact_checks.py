"""What says where intracranial contacts lie, beside their coordinates: chosen before the first job."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_ai.bids.index import Index, Recording
from bids_ai.errors import InputError
from bids_ai.stages.contact_files import find_file, read_contact_transform

if TYPE_CHECKING:
    from bids_ai.bids.electrophysiology.electrodes import ElectrodeTable
    from bids_ai.cli.preflight import Findings
    from bids_ai.config import IeegConfig

Nodes = dict[str, pd.DataFrame]


def place_contacts(index: Index, settings: IeegConfig, nodes: Nodes, findings: Findings) -> Index:
    """Choose for every intracranial recording what its regions come from.

    Parameters
    ----------
    index : Index
    settings : IeegConfig
    nodes : dict
        Label of each atlas to its node table.
    findings : Findings
        What was asked for and is there for some recordings only, or for none, is added to it.

    Returns
    -------
    Index
        With `named_in`, `segmentation`, `label_column` and `contacts_to_t1w` of its recordings.
    """
    if not any(entry.modality == "ieeg" for entry in index.recordings):
        return index
    try:
        placed = [
            _placed(entry, settings, nodes, findings.warnings) if entry.modality == "ieeg" else entry
            for entry in index.recordings
        ]
    except InputError as error:
        findings.refusals.append(str(error))
        return index
    findings.refusals += _unused(placed, settings, nodes)
    return replace(index, recordings=placed)


def _placed(entry: Recording, settings: IeegConfig, nodes: Nodes, warnings: list[str]) -> Recording:
    from bids_ai.bids.electrophysiology.electrodes import choose_electrodes

    electrodes = choose_electrodes(Path(entry.source))
    if electrodes is None:
        return entry
    if np.isfinite(electrodes.positions_mm).any():
        entry = _with_transform(entry, settings, warnings)
        entry = _with_segmentation(entry, settings, nodes, warnings)
    if entry.segmentation is not None or settings.label_column == "none":
        return entry
    return _with_labels(entry, electrodes, settings.label_column, nodes)


def _with_transform(entry: Recording, settings: IeegConfig, warnings: list[str]) -> Recording:
    path = _sought(settings.contacts_to_t1w, entry, "ieeg.contacts_to_t1w", warnings)
    if path is None:
        return entry
    read_contact_transform(path)
    if entry.anat is None and settings.segmentation is None:
        warnings.append(f"{entry.subject} has no T1w: ieeg.contacts_to_t1w leads nowhere and is not used for it.")
        return entry
    return replace(entry, contacts_to_t1w=str(path), located=entry.anat is not None)


def _with_segmentation(entry: Recording, settings: IeegConfig, nodes: Nodes, warnings: list[str]) -> Recording:
    path = _sought(settings.segmentation, entry, "ieeg.segmentation", warnings)
    if path is None:
        return entry
    from bids_ai.parcellation.contact_labels import LEAST_SHARE
    from bids_ai.parcellation.segmentation import known_share

    named = tuple(label for label, table in nodes.items() if known_share(table) >= LEAST_SHARE)
    return replace(entry, segmentation=str(path), named_in=named)


def _with_labels(entry: Recording, electrodes: ElectrodeTable, wanted: str, nodes: Nodes) -> Recording:
    """Take the column asked for; or one with names of an atlas, to assign by or, with coordinates, to compare with."""
    from bids_ai.parcellation.contact_labels import column_with_regions
    from bids_ai.parcellation.contacts import labels_in_atlas

    if wanted != "auto":
        column, sides = electrodes.column(wanted), electrodes.column("hemisphere")
        rows = {label: labels_in_atlas(column, table, sides) for label, table in nodes.items()}
        named = tuple(label for label, own in rows.items() if any(row is not None and row >= 0 for row in own))
        return replace(entry, label_column=wanted.lower(), named_in=named)
    found = {label: column_with_regions(electrodes.columns, table) for label, table in nodes.items()}
    known = {label: column for label, column in found.items() if column}
    if not known:
        return entry
    first = next(iter(known.values()))
    named = () if entry.located else tuple(label for label, column in known.items() if column == first)
    return replace(entry, label_column=first, named_in=named)


def _sought(pattern: str | None, entry: Recording, setting: str, warnings: list[str]) -> Path | None:
    if pattern is None:
        return None
    path = find_file(pattern, entry, setting)
    if path is None:
        warnings.append(f"{setting}: there is no file for {Path(entry.item).name} ({pattern}).")
    return path


def _unused(placed: list[Recording], settings: IeegConfig, nodes: Nodes) -> list[str]:
    """What was asked for and serves no recording at all."""
    own = [entry for entry in placed if entry.modality == "ieeg"]
    atlases = ", ".join(nodes) or "none"
    faults = []
    for setting in ("contacts_to_t1w", "segmentation"):
        if getattr(settings, setting) and not any(getattr(entry, setting) for entry in own):
            faults.append(f"ieeg.{setting} '{getattr(settings, setting)}' is there for no recording.")
    column = settings.label_column not in ("auto", "none") and settings.label_column
    if nodes and column and not any(entry.named_in for entry in own):
        faults.append(
            f"ieeg.label_column '{column}': no electrodes.tsv has such a column with names of regions of {atlases}. "
            "Choose the atlas that the labels come from."
        )
    if nodes and any(entry.segmentation for entry in own) and not any(entry.named_in for entry in own):
        faults.append(
            f"ieeg.segmentation: FreeSurfer's labels are not the regions of {atlases}. Choose an atlas with its names, "
            "such as that of Desikan and Killiany for aparc+aseg."
        )
    return faults
