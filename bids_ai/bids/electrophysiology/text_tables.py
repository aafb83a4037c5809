"""Tab-separated sidecars as text: byte-order marks, encodings, and the many spellings of what is missing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_ai.bids.electrophysiology.findings import Finding
from bids_ai.bids.files import refuse_pipe
from bids_ai.errors import InputError

_MISSING = {"", "n/a", "na", "nan", "none", "null", "-"}


def read_text_table(path: Path) -> tuple[pd.DataFrame, list[Finding]]:
    """Read a table with every cell as text.

    Numbers are made of it by `numbers`, column by column, since a channel may be called ``25``, ``1e3`` or ``NA``.

    Parameters
    ----------
    path : Path
        TSV, with or without a byte-order mark.

    Returns
    -------
    table : DataFrame of str
        Stripped of white space; columns in lower case.
    findings : list of Finding

    Raises
    ------
    InputError
        If the file is missing, empty, no table, or has a column twice.
    """
    try:
        refuse_pipe(Path(path))
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"The table {path} cannot be opened ({error.strerror or error}).") from None
    findings = []
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Older exports write the micro sign of "µV" as one byte; BIDS wants UTF-8.
        text = content.decode("latin-1")
        findings.append(
            Finding("encoding", f"{Path(path).name} is not UTF-8; it was read as Latin-1.", severity="note")
        )
    rows = [line.split("\t") for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line.strip()]
    if not rows:
        raise InputError(f"The table {path} is empty; it should hold a header row and values.")
    header = [name.strip().lower() for name in rows[0]]
    twice = sorted(name for name, count in Counter(header).items() if count > 1)
    if twice:
        raise InputError(f"{path} has columns that occur more than once: {', '.join(twice)}. Rename or remove one.")
    # A row may lack trailing cells; more cells than columns would shift values under the wrong name.
    ragged = [number for number, row in enumerate(rows[1:], start=2) if len(row) > len(header)]
    if ragged:
        raise InputError(
            f"{path} has {len(header)} columns, but {len(ragged)} rows have more cells (first: line {ragged[0]}). "
            "BIDS tables are separated by tabs, with no tab inside a cell."
        )
    cells = [[cell.strip() for cell in row] + [""] * (len(header) - len(row)) for row in rows[1:]]
    return pd.DataFrame(cells, columns=header, dtype=str), findings


def is_missing(cell: str) -> bool:
    """Whether a cell says nothing; not to be asked of names."""
    return cell.lower() in _MISSING


def numbers(table: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """Numbers of a column; NaN where there is none, or no such column.

    Parameters
    ----------
    table : DataFrame of str
    column : str

    Returns
    -------
    array (n_rows,)
    """
    if column not in table:
        return np.full(len(table), np.nan)
    values = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def texts(table: pd.DataFrame, column: str) -> list[str | None]:
    """Cells of a column; None where there is none, or no such column."""
    if column not in table:
        return [None] * len(table)
    return [None if is_missing(cell) else cell for cell in table[column]]


def names_of(table: pd.DataFrame, path: Path) -> list[str]:
    """Names in the column ``name``, which must be there, filled and unique.

    Raises
    ------
    InputError
        Naming the fault.
    """
    if "name" not in table:
        raise InputError(f"{path} has no column 'name' (it has {', '.join(table.columns)}); BIDS requires it.")
    names = [str(name) for name in table["name"]]
    nameless = [number for number, name in enumerate(names, start=2) if not name or name == "n/a"]
    if nameless:
        raise InputError(f"{path}: {len(nameless)} rows have no name (first: line {nameless[0]}).")
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise InputError(f"{path}: {len(twice)} names occur more than once ({', '.join(twice[:5])}); make them unique.")
    return names
