"""Tables of the derivatives: relation matrices, region series, node tables. Missing is ``n/a``."""

from __future__ import annotations

import csv
import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_object_dtype

from bids_ai.bids.files import atomic, read_json, refuse_pipe, write_json
from bids_ai.bids.names import sidecar
from bids_ai.errors import InputError

MISSING = "n/a"
#: Names, even where they look like numbers ("001").
_TEXT_COLUMNS = dict.fromkeys(("node", "name", "contact_1", "contact_2", "site", "channel"), str)
#: Tables of numbers are packed to a third. One that is larger than this and packed more densely holds nothing, bytes.
_LARGE_BYTES, _DENSE = 2**28, 100
_CHUNK = 2**20
_MOST, _MOST_COLUMNS = 10**300, 20_000
_SAMPLE = "%.6g"  # of an electric signal: 120 dB
_FLOAT = "%.9g"  # more digits than a float32 holds; enough that a reader gets the same matrix back


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a TSV with a header row and ``n/a`` for what is missing."""
    with atomic(path) as temporary:
        table.to_csv(temporary, sep="\t", index=False, na_rep=MISSING, float_format=_FLOAT, lineterminator="\n")


def read_table(path: Path) -> pd.DataFrame:
    """Read a TSV in which only ``n/a`` and empty cells are missing (a region may be called "NA").

    Raises
    ------
    InputError
        If it is empty or no table.
    """
    missing = [MISSING, ""]
    refuse_pipe(path)
    refuse_width(path)
    try:
        table = pd.read_csv(
            path, sep="\t", na_values=missing, keep_default_na=False, dtype=_TEXT_COLUMNS, encoding="utf-8-sig"
        )
    except pd.errors.EmptyDataError:
        raise InputError(f"The table {path} is empty; it should hold a header row and values.") from None
    except (ValueError, OverflowError, MemoryError, csv.Error) as error:  # ParserError and UnicodeError are ValueErrors
        raise InputError(f"{path} cannot be read as a tab-separated table in UTF-8: {error}") from None
    return _within_floats(table)


def refuse_width(path: Path) -> None:
    """Refuse a table of more columns than any atlas has regions; pandas takes minutes to tell repeated names apart.

    Raises
    ------
    InputError
    """
    with path.open("rb") as file:
        n_columns = file.readline().count(b"\t") + 1
    if n_columns > _MOST_COLUMNS:
        raise InputError(
            f"{path} has {n_columns} columns, and at most {_MOST_COLUMNS} are read. Were its line ends lost, or is it "
            "on its side?"
        )


def _within_floats(table: pd.DataFrame) -> pd.DataFrame:
    """Turn integers that no float holds back into text, which is what they are."""
    for name in table.columns[[is_object_dtype(kind) for kind in table.dtypes]]:
        if any(map(_is_large, table[name])):
            table[name] = [str(cell) if _is_large(cell) else cell for cell in table[name]]
    return table


def _is_large(cell: object) -> bool:
    return isinstance(cell, int) and abs(cell) > _MOST


def write_relmat(path: Path, matrix: np.ndarray, names: list[str], meta: dict[str, Any]) -> None:
    """Write a relation matrix and its sidecar.

    Parameters
    ----------
    path : Path
        ``*_relmat.tsv``: a header row of names and a first column ``node`` (the form of XCP-D).
    matrix : ndarray of shape (n_regions, n_regions)
        Row = source, column = target. NaN is written as ``n/a``.
    names : list of str
        Names of the regions, in the order of the matrix.
    meta : dict
        Content of the sidecar; must say ``RelationshipMeasure`` and ``Directed``.

    Raises
    ------
    InputError
        If shapes and names disagree.
    """
    if matrix.shape != (len(names), len(names)):
        raise InputError(f"A matrix of shape {matrix.shape} cannot bear {len(names)} region names ({path.name}).")
    table = pd.DataFrame(np.asarray(matrix, dtype=float), columns=names)
    table.insert(0, "node", names)
    write_table(path, table)
    directed = bool(meta["Directed"])
    roles = {"RowRole": "source", "ColumnRole": "target"} if directed else {"RowRole": "node", "ColumnRole": "node"}
    defaults = {"Weighted": True, "ValidDiagonal": False, "NonNegative": False, "StorageFormat": "Full"}
    write_json(sidecar(path), defaults | roles | meta)


def read_relmat(path: Path) -> tuple[np.ndarray, list[str]]:
    """Read a relation matrix.

    Returns
    -------
    matrix : ndarray of shape (n_regions, n_regions)
        Row = source, column = target; missing is NaN.
    names : list of str

    Raises
    ------
    InputError
        If rows and columns do not bear the same names in the same order.
    """
    table = read_table(path)
    columns = [str(name) for name in table.columns[1:]]
    rows = [str(name) for name in table.iloc[:, 0]]
    if rows != columns:
        raise InputError(f"Rows and columns of {path} do not bear the same names in the same order.")
    try:
        return table.iloc[:, 1:].to_numpy(dtype=float), columns
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{path} should hold numbers under a header of names: {error}.") from None


def write_timeseries(path: Path, series: np.ndarray, names: list[str], meta: dict[str, Any]) -> None:
    """Write region series (n_times, n_regions); censored frames stay as rows of ``n/a``.

    A ``.tsv.gz`` has no header, as the standard has it for physiological recordings: the sidecar names its columns.
    """
    table = pd.DataFrame(series, columns=names)
    if path.suffix != ".gz":
        write_table(path, table)
        write_json(sidecar(path), meta)
        return
    # Without time and temporary name in its header, the same series are the same bytes.
    with (
        atomic(path) as temporary,
        temporary.open("wb") as file,
        gzip.GzipFile("", "wb", compresslevel=4, fileobj=file, mtime=0) as packed,
    ):
        table.to_csv(
            packed,
            sep="\t",
            index=False,
            header=False,
            na_rep=MISSING,
            float_format=_SAMPLE,
            lineterminator="\n",
        )
    write_json(sidecar(path), meta | {"Columns": names})


def read_timeseries(path: Path) -> tuple[np.ndarray, list[str]]:
    """Read region series.

    Returns
    -------
    series : ndarray of shape (n_times, n_regions)
        Censored frames and regions without data are NaN.
    names : list of str
    """
    table = _read_samples(path) if path.suffix == ".gz" else read_table(path)
    try:
        return table.to_numpy(dtype=float), [str(name) for name in table.columns]
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{path} should hold one column of numbers per region with a header: {error}.") from None


def _read_samples(path: Path) -> pd.DataFrame:
    names = _column_names(sidecar(path))
    try:
        _refuse_bomb(path)
        table = pd.read_csv(path, sep="\t", names=names, na_values=[MISSING], keep_default_na=False, index_col=False)
    except (OSError, EOFError, zlib.error, ValueError, OverflowError, MemoryError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a packed table of samples: {error}") from None
    if table.empty:
        raise InputError(f"The table {path} is empty; it should hold rows of samples.")
    return table


def _column_names(path: Path) -> list[str]:
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise InputError(f"The sidecar {path} cannot be read as JSON: {error}") from None
    names = content.get("Columns") if isinstance(content, dict) else None
    if not isinstance(names, list) or not names:
        raise InputError(f"The sidecar {path} names no Columns; a .tsv.gz has no header of its own.")
    named = [str(name) for name in names]
    if len(set(named)) < len(named):
        raise InputError(f"The sidecar {path} names a column twice; names are unique.")
    return named


def _refuse_bomb(path: Path) -> None:
    """Refuse a file that unpacks to gigabytes of the same few characters, without keeping any of them."""
    most, size = max(_LARGE_BYTES, _DENSE * path.stat().st_size), 0
    with gzip.open(path) as unpacked:
        while chunk := unpacked.read(_CHUNK):
            size += len(chunk)
            if size > most:
                raise InputError(
                    f"{path} unpacks to more than {most} bytes, over {_DENSE} times its size, which no table of "
                    "numbers does; it was not read. Make it again."
                )


def check_names(expected: list[str], given: list[str], what: str) -> None:
    """Refuse two lists of regions that differ, rather than reorder them.

    Raises
    ------
    InputError
        Naming the first difference.
    """
    if expected == given:
        return
    if sorted(expected) == sorted(given):
        raise InputError(f"{what}: the same regions in another order; bring them into the order of the node table.")
    missing = [name for name in expected if name not in set(given)]
    extra = [name for name in given if name not in set(expected)]
    raise InputError(
        f"{what}: region names differ ({len(expected)} expected, {len(given)} came; "
        f"missing: {missing[:3]}, unknown: {extra[:3]})."
    )
