"""Tables that people bring: signals (time x region), structural connectivity with names, regions with coordinates.

Everything is told by name: a matrix without names is refused, since a wrong order of regions cannot be seen in the
result.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_ai.cli.transposed import refuse_transposed, refuse_wide_array, shape_advice
from bids_ai.errors import InputError
from bids_ai.parcellation.names import listed, name_key

if TYPE_CHECKING:
    from bids_ai.surrogate.usable import FloatArray

ENDINGS = (".tsv", ".csv", ".npy")
MISSING = ("n/a", "N/A", "NA", "NaN", "nan", "")
TIME_NAMES = {
    *("time", "times", "t", "time_s", "seconds", "index", "frame", "frames", "volume", "volumes", "vol", "sample"),
    *("samples", "timepoint", "timepoints", "time_point", "tr", "row", "unnamed: 0"),
}
"""Headers of columns that count frames and are no region, in lower case."""
MIN_RAMP = 5
"""Frames from which a column of equal steps cannot be a signal."""
RAMP_TOLERANCE = 1e-3
"""Of a step: times are often written with three decimals."""
LINES_LOOKED_AT = 50
"""Of a table, to see whether it stands on its side."""
PLACE_COLUMNS = ("x, y, z", "hemisphere", "network", "color")
"""What is read from a node table beside the name."""
_SIDES, _NETWORKS, _COLOURS = ("hemisphere", "hemi", "side"), ("network", "community", "system"), ("color", "colour")


@dataclass(frozen=True)
class Signals:
    """Region signals (n_times, n_regions), missing NaN, with the names of the regions."""

    values: FloatArray
    names: list[str]


@dataclass(frozen=True)
class Structural:
    """Structural connectivity (n, n), row = source, with its names; notes say how it was read."""

    matrix: FloatArray
    names: list[str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Matching:
    """Where each wanted region stands in another list.

    Parameters
    ----------
    positions : list of int or None
        One per wanted region.
    aliases : list of (str, str)
        Wanted and given name, where they are spelled differently.
    missing, surplus : list of str
        Wanted regions that were not found; given ones that nothing asks for.
    """

    positions: list[int | None]
    aliases: list[tuple[str, str]]
    missing: list[str]
    surplus: list[str]

    @property
    def reordered(self) -> bool:
        """Whether those found stand in another order."""
        found = [position for position in self.positions if position is not None]
        return found != sorted(found)


# ---- signals


def read_signals(path: Path) -> Signals:
    """Read a table of signals, time x region, with a header of names; of a ``.npy`` the regions are r001, r002, ...

    Raises
    ------
    InputError
        If it cannot be read as numbers with names, or holds a column of times.
    """
    check_ending(path)
    signals = _signals_of_array(path) if path.suffix == ".npy" else _signals_of_table(path)
    clock = _time_columns(signals)
    if clock:
        raise InputError(
            f"{path.name}: {clock} counts frames or time and is no region. Remove the column; the sampling interval is "
            "given with --tr. (pandas writes no index with to_csv(..., index=False).)"
        )
    return signals


def check_ending(path: Path) -> None:
    """Refuse a file that is not there or of another kind.

    Raises
    ------
    InputError
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the tables in it, such as {path.name}/*.tsv.")
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"{path.name}: files must end in .tsv, .csv or .npy, so that it is known how to read them.")
    if not path.is_file():
        raise InputError(f"{path} does not exist or is no file.")


def _signals_of_array(path: Path) -> Signals:
    values = _load_array(path)
    refuse_wide_array(path, (len(values), values.shape[1]))
    width = max(3, len(str(values.shape[1])))
    return Signals(values, [f"r{number:0{width}d}" for number in range(1, values.shape[1] + 1)])


def _load_array(path: Path) -> FloatArray:
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path.name} cannot be read as a numpy array: {error}") from None
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
        raise InputError(
            f"{path.name} holds {values.dtype} of shape {values.shape}; real numbers with two axes are needed."
        )
    return np.asarray(values, dtype=float)


def _signals_of_table(path: Path) -> Signals:
    lines = _text(path).splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    if len(lines) < 2:
        raise InputError(f"{path.name} has {len(lines)} lines; a header of region names and rows of numbers is needed.")
    separator = _separator(path, lines[0])
    cells = [[cell.strip() for cell in row] for row in csv.reader(lines[:LINES_LOOKED_AT], delimiter=separator)]
    refuse_transposed(path, cells, len(lines), separator)
    names = cells[0]
    _check_header(path, names, len(lines))
    _check_widths(path, lines, len(names), separator)
    decimal = "," if separator == ";" and any("," in line for line in lines[1:20]) else "."
    body = pd.read_csv(
        path,
        sep=separator,
        header=None,
        skiprows=1,
        nrows=len(lines) - 1,
        na_values=list(MISSING),
        keep_default_na=False,
        skip_blank_lines=False,
        skipinitialspace=True,
        decimal=decimal,
        encoding="utf-8-sig",
        low_memory=False,
    )
    _check_numbers(path, body, names)
    return Signals(body.to_numpy(dtype=float), names)


def _check_header(path: Path, names: Sequence[str], n_lines: int | None = None) -> None:
    empty = [number for number, name in enumerate(names, 1) if not name]
    if empty == [1]:
        raise InputError(
            f"{path.name}: the first column has no name: an index, as pandas writes it? Remove it "
            "(to_csv(..., index=False))."
        )
    if empty:
        raise InputError(f"{path.name}: columns without a name: {listed(empty)}. Every region needs one.")
    numbers = [_number(name) for name in names]
    if all(number is not None for number in numbers) and not _are_labels(numbers):
        advice = "Put a header of region names above." if n_lines is None else shape_advice(n_lines, len(names))
        raise InputError(f"{path.name}: the first line holds numbers ({listed(names, 3)}), not names. {advice}")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"{path.name}: region names must be unique; repeated: {listed(twice, 5)}.")


def _are_labels(numbers: Sequence[float | None]) -> bool:
    """Whether a header of numbers is one of labels: whole, from 0 or 1 up, increasing."""
    values = [number for number in numbers if number is not None]
    return all(v >= 0 and v % 1 == 0 for v in values) and all(a < b for a, b in pairwise(values))


def _check_widths(path: Path, lines: Sequence[str], width: int, separator: str) -> None:
    if any('"' in line for line in lines):  # a quoted cell may hold the separator; pandas knows
        return
    for number, line in enumerate(lines[1:], 2):
        cells = line.count(separator) + 1
        if cells != width:
            hint = " (a column of row names, as R writes it? use row.names = FALSE)" if cells == width + 1 else ""
            raise InputError(f"{path.name}: line {number} has {cells} cells, the header {width}{hint}.")


def _check_numbers(path: Path, body: pd.DataFrame, names: Sequence[str]) -> None:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    if body.shape[1] != len(names):
        raise InputError(f"{path.name}: {body.shape[1]} columns under {len(names)} names.")
    faults = []
    for position, name in enumerate(names):
        column = body.iloc[:, position]
        if is_numeric_dtype(column) and not is_bool_dtype(column):
            continue
        bad = column.notna() & pd.to_numeric(column.astype(str), errors="coerce").isna()
        row = int(np.flatnonzero(bad.to_numpy())[0]) if bad.any() else 0
        faults.append(f"{name} (line {row + 2}: {str(column.iloc[row])[:30]!r})")
    if faults:
        raise InputError(
            f"{path.name}: columns with text instead of numbers: {listed(faults, 3)}. Write n/a where a value is "
            "missing, and leave out columns that are no region."
        )


def _time_columns(signals: Signals) -> str:
    """Columns that are a clock, in words; empty if there are none."""
    found = []
    for position, name in enumerate(signals.names):
        if name.lower() in TIME_NAMES:
            found.append(f"column {name!r}")
        elif _is_ramp(signals.values[:, position]):
            found.append(f"column {name!r}, whose values grow by equal steps,")
    return listed(found, 3)


def _is_ramp(column: FloatArray) -> bool:
    if len(column) < MIN_RAMP or not np.isfinite(column).all():
        return False
    steps = np.diff(column)
    step = abs(float(steps.mean()))
    return step > 0 and float(np.abs(steps - steps.mean()).max()) <= RAMP_TOLERANCE * step


# ---- structural connectivity


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
    rows = [[repr(v) for v in row] for row in _load_array(path).tolist()] if path.suffix == ".npy" else _rows(path)
    bare = all(_number(cell) is not None for row in rows for cell in row)
    if bare and len(rows) == len(rows[0]):
        return _named_matrix(path, _numbers(path, rows), names_file)
    if names_file is not None:
        raise InputError(f"{path.name} bears names already; leave --structural-names out.")
    header, body = rows[0], rows[1:]
    if len(body) == len(header):
        matrix, names = _numbers(path, body), header
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
    _check_header(path, names)
    return Structural(matrix, names, notes)


def _named_matrix(path: Path, matrix: FloatArray, names_file: Path | None) -> Structural:
    if names_file is None:
        raise InputError(
            f"{path.name} is a matrix of {len(matrix)} x {len(matrix)} numbers without names. Whether its regions are "
            "those of the signals cannot be checked by their number: add a header and a first column of region names, "
            "or give a file of names with --structural-names."
        )
    names = [cell for row in _rows(names_file) for cell in row if cell]
    if len(names) != len(matrix):
        raise InputError(f"{names_file.name} holds {len(names)} names, {path.name} {len(matrix)} regions.")
    _check_header(names_file, names)
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
    matrix = _numbers(path, [row[1:] for row in body])
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
    notes = [*structural.notes, *_matching_notes(found, where)]
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


def _matching_notes(found: Matching, where: str) -> list[str]:
    notes = []
    if found.reordered:
        notes.append(f"{where} has the regions in another order; it was brought into that of the signals by name.")
    if found.aliases:
        pairs = listed([f"{given} = {wanted}" for wanted, given in found.aliases], 3)
        notes.append(f"{len(found.aliases)} regions of {where} are spelled differently and were matched: {pairs}.")
    if found.surplus:
        notes.append(
            f"{where} has {len(found.surplus)} regions that the signals lack; they are not used: "
            f"{listed(found.surplus, 5)}."
        )
    return notes


# ---- regions


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
    header, *body = _rows(path)
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
    notes = _matching_notes(found, path.name)
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
    number = _number(cell)
    if number is None:
        raise InputError(f"{path.name}: {cell!r} is no coordinate in mm; write n/a where it is not known.")
    return number


def _side(text: str | None) -> str | None:
    words = {"l": "L", "lh": "L", "left": "L", "r": "R", "rh": "R", "right": "R", "b": "B", "both": "B"}
    return words.get((text or "").lower())


# ---- names and cells


def match_names(wanted: Sequence[str], given: Sequence[str]) -> Matching:
    """Find regions by name, or by another spelling that is nobody else's (``7Networks_LH_Vis_1`` = ``LH_Vis_1``)."""
    exact = {name: position for position, name in enumerate(given)}
    keys = Counter(map(name_key, given))
    wanted_keys = Counter(map(name_key, wanted))
    alike = {name_key(name): position for position, name in enumerate(given) if keys[name_key(name)] == 1}
    positions: list[int | None] = []
    aliases = []
    for name in wanted:
        position = exact.get(name)
        if position is None and wanted_keys[name_key(name)] == 1:
            position = alike.get(name_key(name))
            if position is not None:
                aliases.append((name, given[position]))
        positions.append(position)
    taken = set(positions)
    return Matching(
        positions,
        aliases,
        missing=[name for name, position in zip(wanted, positions, strict=True) if position is None],
        surplus=[name for position, name in enumerate(given) if position not in taken],
    )


def _rows(path: Path) -> list[list[str]]:
    """Cells of a small table, stripped, without empty lines; all rows are equally long."""
    if not path.is_file():
        raise InputError(f"{path} does not exist or is no file.")
    lines = [line for line in _text(path).splitlines() if line.strip()]
    if not lines:
        raise InputError(f"{path.name} is empty.")
    separator = _separator(path, lines[0])
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]
    short = next((k for k, row in enumerate(rows, 1) if len(row) != len(rows[0])), None)
    if short:
        raise InputError(f"{path.name}: line {short} has {len(rows[short - 1])} cells, the first {len(rows[0])}.")
    return rows


def _numbers(path: Path, rows: Sequence[Sequence[str]]) -> FloatArray:
    values = [[float("nan") if cell in MISSING else _number(cell) for cell in row] for row in rows]
    for row, cells in zip(values, rows, strict=True):
        if None in row:
            raise InputError(f"{path.name}: {cells[row.index(None)]!r} is no number.")
    return np.array(values, dtype=float)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path.name} cannot be read as a table in UTF-8: {error}") from None


def _separator(path: Path, first: str) -> str:
    if path.suffix.lower() == ".csv":
        return max(",;\t", key=first.count)
    return "\t" if "\t" in first or "," not in first else ","
