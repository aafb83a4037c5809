"""Read a table of signals, time x region."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_ai.cli.cells import (
    MISSING,
    check_ending,
    check_header,
    load_array,
    separator_of,
    split_cells,
    text_of,
)
from bids_ai.cli.transposed import refuse_transposed, refuse_wide_array
from bids_ai.errors import InputError
from bids_ai.parcellation.names import listed

if TYPE_CHECKING:
    from bids_ai.surrogate.usable import FloatArray

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


@dataclass(frozen=True)
class Signals:
    """Region signals (n_times, n_regions), missing NaN, with the names of the regions."""

    values: FloatArray
    names: list[str]


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


def _signals_of_array(path: Path) -> Signals:
    values = load_array(path)
    refuse_wide_array(path, (len(values), values.shape[1]))
    width = max(3, len(str(values.shape[1])))
    return Signals(values, [f"r{number:0{width}d}" for number in range(1, values.shape[1] + 1)])


def _signals_of_table(path: Path) -> Signals:
    lines = text_of(path).splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    if len(lines) < 2:
        raise InputError(f"{path.name} has {len(lines)} lines; a header of region names and rows of numbers is needed.")
    separator = separator_of(path, lines[0])
    cells = split_cells(path, lines[:LINES_LOOKED_AT], separator)
    refuse_transposed(path, cells, len(lines), separator)
    names = cells[0]
    check_header(path, names, len(lines))
    _check_widths(path, lines, len(names), separator)
    decimal = "," if separator == ";" and any("," in line for line in lines[1:20]) else "."
    try:
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
    except (ValueError, OverflowError, csv.Error) as error:  # what pandas raises of its own is a ValueError
        raise InputError(f"{path.name} cannot be read as a table: {error}") from None
    _check_numbers(path, body, names)
    return Signals(body.to_numpy(dtype=float), names)


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
