"""Read what is known of the regions besides: coordinates, hemisphere, network, colour."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_ai.cli.cells import (
    MISSING,
    check_ending,
    number_of,
    rows_of,
)
from bids_ai.errors import InputError
from bids_ai.parcellation.matching import match_names, matching_notes
from bids_ai.parcellation.names import listed

if TYPE_CHECKING:
    pass

PLACE_COLUMNS = ("x, y, z", "hemisphere", "network", "color")
"""What is read from a node table beside the name."""
_SIDES, _NETWORKS, _COLOURS = ("hemisphere", "hemi", "side"), ("network", "community", "system"), ("color", "colour")


def read_regions(path: Path, regions: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Read a node table and bring it to the regions of the signals.

    Parameters
    ----------
    path : Path
        TSV or CSV with a column ``name``, and what it has of ``x y z`` (mm, MNI), ``hemisphere``, ``network``,
        ``color``.
    regions : list of str

    Returns
    -------
    nodes : pandas.DataFrame
        Valid node table in the order of the regions; those it lacks have no coordinates.
    notes : list of str

    Raises
    ------
    InputError
        Without names, with text in place of coordinates, or where most regions are not in it.
    """
    check_ending(path)
    header, *body = rows_of(path)
    header = [cell.lower() for cell in header]
    table = {name: [row[k] for row in body] for k, name in enumerate(header)}
    names = _column(table, "name", "node", "region", "region_name", "label_name", "label")
    if names is None:
        raise InputError(f"{path.name} needs a column 'name' with the names of the regions; it has {listed(header)}.")
    _check_places(path, header)
    found = match_names(regions, names)
    if 2 * len(found.missing) > len(regions):
        raise InputError(
            f"{path.name} is of another atlas: {len(found.missing)} of {len(regions)} regions of the signals are not "
            f"in it ({listed(found.missing, 5)}); it has {listed(found.surplus, 5)}."
        )
    notes = matching_notes(found, path.name)
    if found.missing:
        notes.append(f"{path.name} lacks regions, which are drawn without place: {listed(found.missing, 5)}.")
    return _node_table(path, table, found.positions, regions), notes


def _check_places(path: Path, header: Sequence[str]) -> None:
    """Refuse a node table that tells nothing of the regions, or half a place."""
    axes = [[*(name for name in _axis_headers(axis) if name in header)] for axis in "xyz"]
    if any(axes) and not all(axes):
        lacking = listed([axis for axis, found in zip("xyz", axes, strict=True) if not found])
        raise InputError(f"{path.name} has coordinates without {lacking}; x, y and z (mm, MNI) are needed, or none.")
    if not any(axes) and not any(name in header for names in (_SIDES, _NETWORKS, _COLOURS) for name in names):
        raise InputError(
            f"{path.name} tells nothing of the regions but their names: none of the columns {', '.join(PLACE_COLUMNS)} "
            f"is in it; it has {listed(header, 5)}. (A structural connectivity is given with --structural.)"
        )


def plain_regions(regions: Sequence[str]) -> pd.DataFrame:
    """Node table of regions of which nothing but the name is known."""
    from bids_ai.parcellation.nodes import build_nodes

    return build_nodes(range(1, len(regions) + 1), list(regions))


def _node_table(
    path: Path, table: dict[str, list[str]], positions: Sequence[int | None], regions: Sequence[str]
) -> pd.DataFrame:
    from bids_ai.parcellation.nodes import build_nodes

    def take(*headers: str) -> list[str | None] | None:
        column = _column(table, *headers)
        return None if column is None else [None if k is None else column[k] for k in positions]

    xyz = np.full((len(regions), 3), np.nan)
    axes = [take(*_axis_headers(axis)) for axis in "xyz"]
    for k, axis in enumerate(axes if None not in axes else []):
        xyz[:, k] = [_coordinate(path, cell) for cell in axis or []]
    sides, colours = take(*_SIDES), take(*_COLOURS)
    return build_nodes(
        range(1, len(regions) + 1),
        list(regions),
        hemisphere=None if sides is None else [_side(side) for side in sides],
        network=take(*_NETWORKS),
        xyz=xyz,
        color=None if colours is None else [c if re.fullmatch(r"#[0-9a-fA-F]{6}", c or "") else None for c in colours],
    )


def _axis_headers(axis: str) -> tuple[str, ...]:
    return axis, f"{axis}_mm", f"mni_{axis}", f"{axis}_mni"


def _column(table: dict[str, list[str]], *headers: str) -> list[str] | None:
    return next((table[header] for header in headers if header in table), None)


def _coordinate(path: Path, cell: str | None) -> float:
    if cell is None or cell in MISSING:
        return float("nan")
    number = number_of(cell)
    if number is None:
        raise InputError(f"{path.name}: {cell!r} is no coordinate in mm; write n/a where it is not known.")
    return number


def _side(text: str | None) -> str | None:
    words = {"l": "L", "lh": "L", "left": "L", "r": "R", "rh": "R", "right": "R", "b": "B", "both": "B"}
    return words.get((text or "").lower())
