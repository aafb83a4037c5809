"""Cells of a table that people bring: text, separator, numbers, header, and what is told where they do not fit."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bids_ai.cli.transposed import shape_advice
from bids_ai.errors import InputError
from bids_ai.parcellation.names import listed

if TYPE_CHECKING:
    from bids_ai.surrogate.usable import FloatArray

ENDINGS = (".tsv", ".csv", ".npy")
MISSING = ("n/a", "N/A", "NA", "NaN", "nan", "")


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


def load_array(path: Path) -> FloatArray:
    """Read a ``.npy`` of real numbers with two axes; no pickles."""
    try:
        # Mapped, so that a header that promises more than the file holds is refused before memory is asked for.
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy has Python read the header, which raises whatever it raises
        raise InputError(f"{path.name} cannot be read as a numpy array: {error}") from None
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
        raise InputError(
            f"{path.name} holds {values.dtype} of shape {values.shape}; real numbers with two axes are needed."
        )
    return np.asarray(values, dtype=float)


def check_header(path: Path, names: Sequence[str], n_lines: int | None = None) -> None:
    """Refuse a header with empty, repeated or numeric names."""
    empty = [number for number, name in enumerate(names, 1) if not name]
    if empty == [1]:
        raise InputError(
            f"{path.name}: the first column has no name: an index, as pandas writes it? Remove it "
            "(to_csv(..., index=False))."
        )
    if empty:
        raise InputError(f"{path.name}: columns without a name: {listed(empty)}. Every region needs one.")
    numbers = [number_of(name) for name in names]
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


def rows_of(path: Path) -> list[list[str]]:
    """Cells of a small table, stripped, without empty lines; all rows are equally long."""
    if not path.is_file():
        raise InputError(f"{path} does not exist or is no file.")
    lines = [line for line in text_of(path).splitlines() if line.strip()]
    if not lines:
        raise InputError(f"{path.name} is empty.")
    separator = separator_of(path, lines[0])
    rows = split_cells(path, lines, separator)
    short = next((k for k, row in enumerate(rows, 1) if len(row) != len(rows[0])), None)
    if short:
        raise InputError(f"{path.name}: line {short} has {len(rows[short - 1])} cells, the first {len(rows[0])}.")
    return rows


def split_cells(path: Path, lines: Sequence[str], separator: str) -> list[list[str]]:
    """Cells of lines, stripped; quotes may hold the separator."""
    try:
        return [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]
    except csv.Error as error:
        raise InputError(f"{path.name} cannot be read as a table: {error}.") from None


def numbers_of(path: Path, rows: Sequence[Sequence[str]]) -> FloatArray:
    """Turn cells into numbers, missing ones into NaN; text is refused."""
    values = [[float("nan") if cell in MISSING else number_of(cell) for cell in row] for row in rows]
    for row, cells in zip(values, rows, strict=True):
        if None in row:
            raise InputError(f"{path.name}: {cells[row.index(None)]!r} is no number.")
    return np.array(values, dtype=float)


def number_of(text: str) -> float | None:
    """Turn a cell into a number, or None where it is none."""
    try:
        return float(text)
    except ValueError:
        return None


def text_of(path: Path) -> str:
    """Read a text in UTF-8, with or without a byte-order mark."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path.name} cannot be read as a table in UTF-8: {error}") from None


def separator_of(path: Path, first: str) -> str:
    """Tell what separates the cells, by ending and first line."""
    if path.suffix.lower() == ".csv":
        return max(",;\t", key=first.count)
    return "\t" if "\t" in first or "," not in first else ","
