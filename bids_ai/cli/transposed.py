"""Recognise a table of signals that stands on its side: region x time instead of time x region.

Such a table is often readable, and then gives connectivity between time points. It is told by its names: the header
counts frames, or each line begins with a name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from bids_ai.errors import InputError

FRAME_NAME = re.compile(r"(?:t|time|times|timepoint|tp|tr|frame|vol|volume|scan|sample)[_ .-]?\d+(?:\.\d+)?s?", re.I)
"""Names of frames, such as t0, frame_12, vol001."""
MIN_FRAMES = 5
"""Names from which a header of frames is one: EEG knows electrodes T7 and T8."""


def refuse_transposed(path: Path, cells: Sequence[Sequence[str]], n_lines: int, separator: str) -> None:
    """Refuse a transposed table by its first cells.

    Parameters
    ----------
    path : Path
    cells : list of list of str
        The first lines, split, stripped; the first of them is the header, if there is one.
    n_lines : int
        Of the whole table.
    separator : str

    Raises
    ------
    InputError
        With how to transpose it.
    """
    first, *rest = cells
    body_named = bool(rest) and all(bool(row) and _is_name(row[0]) and len(row) == len(rest[0]) for row in rest)
    counts = _counts_frames(first[1:]) or _counts_frames(first)
    if body_named and len(rest[0]) > MIN_FRAMES and counts and not _is_row_name_and_numbers(first):
        raise InputError(_words(path, separator, "its header counts frames and its first column names regions", "0", 0))
    if body_named and _is_row_name_and_numbers(first):
        raise InputError(_words(path, separator, "each line begins with a name and there is no header", "None", 0))
    if len(first) > MIN_FRAMES and all(FRAME_NAME.fullmatch(cell) for cell in first):
        raise InputError(_words(path, separator, f"its header names frames ({first[0]}, {first[1]}, ...)", "0", None))
    if _are_whole(first) and len(first) > MIN_FRAMES and n_lines <= len(first):
        raise InputError(
            _words(path, separator, f"its header counts to {first[-1]} over {n_lines - 1} lines of numbers", "0", None)
            + " If these are regions and there are few frames, give them names that are not numbers."
        )


def shape_advice(n_lines: int, n_cells: int) -> str:
    """Say what to do with a table of bare numbers, which may stand on its side as well."""
    advice = f"It has {n_lines} lines of {n_cells} numbers, and a line must be a frame, a column a region"
    if n_lines < n_cells:
        return f"{advice}: if it is region x time, transpose it first. Then put a header of region names above."
    return f"{advice}. Put a header of region names above the signals."


def refuse_wide_array(path: Path, shape: tuple[int, int]) -> None:
    """Refuse an array without names that has fewer frames than regions.

    Raises
    ------
    InputError
    """
    if shape[0] < shape[1]:
        raise InputError(
            f"{path.name} has the shape {shape}, read as {shape[0]} frames of {shape[1]} regions: it looks transposed. "
            "Rows must be frames (np.save(path, array.T)). If there are so few frames, bring it as a .tsv with a "
            "header of region names."
        )


def _words(path: Path, separator: str, why: str, header: str, index: int | None) -> str:
    sep = "\\t" if separator == "\t" else separator
    out = f"{path.stem}_time-by-region{path.suffix}"
    column = "" if index is None else f", index_col={index}"
    read = f"pd.read_csv('{path.name}', sep='{sep}', header={header}{column})"
    names = " Put the names of the regions into its header." if index is None else ""
    return (
        f"{path.name} is transposed: {why}. Rows must be frames and columns regions. Turn it with pandas: "
        f"{read}.T.to_csv('{out}', sep='{sep}', index=False).{names}"
    )


def _counts_frames(names: Sequence[str]) -> bool:
    """Whether names, but for an empty one, are those of frames or times."""
    shown = [name for name in names if name]
    if len(shown) < 2:
        return False
    if all(FRAME_NAME.fullmatch(name) for name in shown):
        return True
    values = [_number(name) for name in shown]
    known = [value for value in values if value is not None]
    return len(known) == len(values) and all(a < b for a, b in pairwise(known))


def _is_row_name_and_numbers(row: Sequence[str]) -> bool:
    """Whether a line is the name of a region and its signal; a header of times increases."""
    return len(row) > 1 and _is_name(row[0]) and all(map(_is_number, row[1:])) and not _counts_frames(row[1:])


def _are_whole(names: Sequence[str]) -> bool:
    """Whether names count one by one from 0 or 1."""
    return [*names] in ([str(k) for k in range(len(names))], [str(k + 1) for k in range(len(names))])


def _is_name(cell: str) -> bool:
    return bool(cell) and not _is_number(cell) and cell.lower() not in ("n/a", "na")


def _is_number(cell: str) -> bool:
    return _number(cell) is not None or cell.lower() in ("", "n/a", "na")


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
