"""Read a structural connectivity that bears names, and bring it to the regions of the signals.

A matrix without names is refused, since a wrong order of regions cannot be seen in the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bids_ai.cli.cells import (
    check_ending,
    check_header,
    load_array,
    number_of,
    numbers_of,
    rows_of,
)
from bids_ai.errors import InputError
from bids_ai.parcellation.matching import match_names, matching_notes
from bids_ai.parcellation.names import listed

if TYPE_CHECKING:
    from bids_ai.surrogate.usable import FloatArray


@dataclass(frozen=True)
class Structural:
    """Structural connectivity (n, n), row = source, with its names; notes say how it was read."""

    matrix: FloatArray
    names: list[str]
    notes: tuple[str, ...] = ()


def read_structural(path: Path, names_file: Path | None = None) -> Structural:
    """Read a structural connectivity whose rows and columns bear names.

    Three forms: a header and a first column of names (as `bids-ai` writes matrices), a header alone, or bare numbers
    whose names stand in a file of their own.

    Raises
    ------
    InputError
        For a matrix without names, one that is not square, text in place of numbers, or names that disagree.
    """
    check_ending(path)
    rows = [[repr(v) for v in row] for row in load_array(path).tolist()] if path.suffix == ".npy" else rows_of(path)
    bare = all(number_of(cell) is not None for row in rows for cell in row)
    if bare and len(rows) == len(rows[0]):
        return _named_matrix(path, numbers_of(path, rows), names_file)
    if names_file is not None:
        raise InputError(f"{path.name} bears names already; leave --structural-names out.")
    header, body = rows[0], rows[1:]
    if len(body) == len(header):
        matrix, names = numbers_of(path, body), header
        notes: tuple[str, ...] = (
            f"{path.name} has a header and no row names: its rows are taken to stand in the order of its header.",
        )
    elif len(body) == len(header) - 1:
        matrix, names, notes = _with_row_names(path, header[1:], body)
    else:
        raise InputError(
            f"{path.name}: {len(body)} rows under {len(header)} columns are no square matrix with names; it needs a "
            "header of region names and a first column of the same names."
        )
    check_header(path, names)
    return Structural(matrix, names, notes)


def _named_matrix(path: Path, matrix: FloatArray, names_file: Path | None) -> Structural:
    if names_file is None:
        raise InputError(
            f"{path.name} is a matrix of {len(matrix)} x {len(matrix)} numbers without names. Whether its regions are "
            "those of the signals cannot be checked by their number: add a header and a first column of region names, "
            "or give a file of names with --structural-names."
        )
    names = [cell for row in rows_of(names_file) for cell in row if cell]
    if len(names) != len(matrix):
        raise InputError(f"{names_file.name} holds {len(names)} names, {path.name} {len(matrix)} regions.")
    check_header(names_file, names)
    return Structural(matrix, names)


def _with_row_names(
    path: Path, columns: list[str], body: list[list[str]]
) -> tuple[FloatArray, list[str], tuple[str, ...]]:
    rows = [row[0] for row in body]
    if sorted(rows) != sorted(columns):
        only_rows = listed(sorted(set(rows) - set(columns)), 3) or "none"
        only_columns = listed(sorted(set(columns) - set(rows)), 3) or "none"
        raise InputError(
            f"{path.name}: rows and columns bear other names (in rows only: {only_rows}; in columns only: "
            f"{only_columns})."
        )
    matrix = numbers_of(path, [row[1:] for row in body])
    if rows == columns:
        return matrix, columns, ()
    return (
        matrix[[rows.index(name) for name in columns]],
        columns,
        (f"The rows of {path.name} stand in another order than its columns and were matched by name.",),
    )


def structural_of(structural: Structural, regions: Sequence[str], where: str, *, symmetric: bool) -> Structural:
    """Bring a structural connectivity to the regions of the signals, by name.

    Parameters
    ----------
    structural : Structural
    regions : list of str
        Of the signals.
    where : str
        Name of its file.
    symmetric : bool
        Average both directions.

    Returns
    -------
    Structural
        In the order of the regions; notes say what was done and in which direction it is read.

    Raises
    ------
    InputError
        Regions that it lacks (named, with those it has too many), negative or missing values, no connection.
    """
    found = match_names(regions, structural.names)
    if found.missing:
        surplus = listed(found.surplus, 5) or "none"
        raise InputError(
            f"{where} and the signals are not of the same atlas. {len(found.missing)} of {len(regions)} regions of the "
            f"signals are missing in it: {listed(found.missing, 5)}. It has {len(found.surplus)} others: {surplus}. "
            "Give the structural connectivity of the same atlas, under the same names."
        )
    positions = [position for position in found.positions if position is not None]
    matrix = structural.matrix[np.ix_(positions, positions)]
    np.fill_diagonal(matrix, 0)
    _check_weights(matrix, regions, where)
    notes = [*structural.notes, *matching_notes(found, where)]
    total = float(matrix.sum())
    share = float(np.abs(matrix - matrix.T).sum()) / (2 * total)
    if symmetric:
        matrix = (matrix + matrix.T) / 2
        notes.append(f"Both directions of {where} were averaged (--structural-symmetric).")
    elif share > 1e-6:
        notes.append(
            f"{where} is not symmetric ({share:.0%} of its weight): it is read as row = source, column = target. "
            "Tractography cannot tell a direction; if it is streamline counts, --structural-symmetric averages both. "
            "If its rows are targets, transpose it."
        )
    return replace(structural, matrix=matrix, names=list(regions), notes=tuple(notes))


def _check_weights(matrix: FloatArray, regions: Sequence[str], where: str) -> None:
    bad = np.argwhere(~np.isfinite(matrix))
    if len(bad):
        pairs = listed([f"{regions[i]} -> {regions[j]}" for i, j in bad], 3)
        raise InputError(f"{where} has missing or infinite values ({pairs}); write 0 where there is no connection.")
    bad = np.argwhere(matrix < 0)
    if len(bad):
        pairs = listed([f"{regions[i]} -> {regions[j]}" for i, j in bad], 3)
        raise InputError(
            f"{where} has {len(bad)} negative values ({pairs}); structural connectivity holds weights such as "
            "streamline counts, not correlations."
        )
    if not matrix.any():
        raise InputError(f"{where} has no connection between the regions of the signals.")
