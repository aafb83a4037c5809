"""Regions of contacts by what a dataset says of them: columns of electrodes.tsv instead of coordinates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from bids_ai.parcellation.contacts import (
    BORDER,
    GREY,
    OUT,
    UNKNOWN,
    WHITE,
    ContactRegions,
    labels_in_atlas,
    tissue_of_label,
)

#: Columns of electrodes.tsv that BIDS defines, or that say no place: none of them holds regions.
_NO_LABELS = frozenset(
    {"name", "x", "y", "z", "size", "material", "manufacturer", "group", "hemisphere", "type", "impedance", "dimension"}
)
#: A column holds names of an atlas where so much of its grey labels are regions of it: a few could be so by accident.
LEAST_SHARE = 0.5


def column_with_regions(columns: pd.DataFrame, nodes: pd.DataFrame) -> str | None:
    """Find the column whose texts are names of an atlas.

    Parameters
    ----------
    columns : DataFrame of str
        ``electrodes.tsv``, one row per contact, names of columns in lower case.
    nodes : DataFrame
        Node table.

    Returns
    -------
    str or None
        The column of which most labels are regions; none where that is less than half of the grey ones of every
        column. Columns of numbers are left out, since nobody can tell what they count.
    """
    shares: dict[str, float] = {}
    for column in map(str, columns):
        if column in _NO_LABELS:
            continue
        sides = list(columns["hemisphere"]) if "hemisphere" in columns else None
        cells = [_text(cell) for cell in columns[column]]
        if not any(cell and not _is_number(cell) for cell in cells):
            continue
        rows = [row for row in labels_in_atlas(cells, nodes, sides) if row is not None]
        shares[column] = float(np.mean([row >= 0 for row in rows])) if rows else 0.0
    best = max(shares, key=lambda column: shares[column], default=None)
    return best if best is not None and shares[best] >= LEAST_SHARE else None


def regions_of_members(
    names: Sequence[str], contacts: ContactRegions, members: Iterable[Sequence[str]]
) -> ContactRegions:
    """Regions of channels and stimulated pairs from those of the contacts that they are made of.

    Parameters
    ----------
    names : sequence of str, (n_points,)
        Of the channels or pairs.
    contacts : ContactRegions
        Of single contacts, with weights of 0 and 1.
    members : iterable of sequences of str, (n_points,)
        Contacts of each; those that `contacts` does not have count as without a region.

    Returns
    -------
    ContactRegions
        A difference of two contacts is shared out between their regions; where one has none, as in white matter, the
        other has it all. The nearest region of two is that of the first contact.
    """
    row_of = {name: row for row, name in enumerate(contacts.names)}
    weights = np.zeros((len(names), len(contacts.regions)))
    nearest = np.full(len(names), -1, dtype=np.intp)
    for point, own in enumerate(members):
        rows = [row_of[name] for name in own if name in row_of and contacts.nearest[row_of[name]] >= 0]
        if rows:
            weights[point] = contacts.weights[rows].mean(axis=0)
            nearest[point] = contacts.nearest[rows[0]]
    level = "region" if (nearest >= 0).any() else "contact"
    unknown = np.full(len(names), np.nan)
    return replace(contacts, names=tuple(names), weights=weights, nearest=nearest, distance_mm=unknown, level=level)


def tissue_of_members(labels: dict[str, str | None], members: Iterable[Sequence[str]]) -> list[str]:
    """Tissue of channels and stimulated pairs by the labels of their contacts.

    Parameters
    ----------
    labels : dict
        Contact to label.
    members : iterable of sequences of str, (n_points,)

    Returns
    -------
    list of str
        ``GM``, ``WM``, ``out``; ``GM-WM border`` where one contact is in grey and the other in white matter;
        ``unknown`` without a label.
    """
    tissues = []
    for own in members:
        kinds = {tissue_of_label(label) for label in (labels.get(name) for name in own) if label}
        if {GREY, WHITE} <= kinds:
            tissues.append(BORDER)
        else:
            tissues.append(next((kind for kind in (GREY, WHITE, OUT) if kind in kinds), UNKNOWN))
    return tissues


def agreement(by_place: ContactRegions, by_label: ContactRegions) -> str | None:
    """Tell in how many channels the region by coordinates is that of the label.

    Parameters
    ----------
    by_place, by_label : ContactRegions
        Of the same channels in the same atlas.

    Returns
    -------
    str or None
        A clause; None where no channel has both.
    """
    both = np.flatnonzero((by_place.nearest >= 0) & (by_label.nearest >= 0))
    if not len(both):
        return None
    # The label of a difference may be two regions: either one will do.
    same = int(sum(by_label.weights[row, by_place.nearest[row]] > 0 for row in both))
    return f"the region by coordinates is that of the label in {same} of {len(both)} channels that have both."


def _text(cell: object) -> str | None:
    text = str(cell).strip() if cell is not None else ""
    return text if text and text.lower() not in ("n/a", "nan") else None


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).lstrip("+-").isdigit()
