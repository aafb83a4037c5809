"""Units of tables: volts, millimetres, amperes, seconds. What is ambiguous is refused, never guessed."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from bids_ai.errors import InputError

_PREFIXES = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "k": 1e3, "c": 1e-2}
_WORDS = {
    **{"milli": "m", "micro": "u", "nano": "n", "kilo": "k", "centi": "c"},
    **{"volts": "V", "volt": "V", "amperes": "A", "ampere": "A", "amps": "A", "amp": "A"},
    **{"seconds": "s", "second": "s", "metres": "m", "metre": "m", "meters": "m", "meter": "m"},
    "sec": "s",
}
# Single-pulse stimulation uses 0.5 to 12 mA (Prime et al. 2018, doi:10.1111/epi.13939); anything far
# outside is a wrong unit.
MIN_CURRENT_A = 1e-5
MAX_CURRENT_A = 0.05
_NUMBER = re.compile(r"^([+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?)\s*(.*)$")


def unit_scale(text: str | None, base: str) -> float | None:
    """Factor from a unit to its base unit.

    Parameters
    ----------
    text : str or None
        Such as ``µV``, ``uV``, ``microV``, ``milliampere``.
    base : {"V", "A", "s", "m"}

    Returns
    -------
    float or None
        None if the text is no unit of this kind.
    """
    if not text or not isinstance(text, str):  # a sidecar may hold anything
        return None
    # NFKC makes one sign of the two micro signs; "ÂµV" is UTF-8 that was once read as Latin-1.
    unit = unicodedata.normalize("NFKC", text).replace("Â", "").replace("μ", "u").strip().rstrip(".")
    if re.search(r"[a-z]{3,}", unit):
        for word, short in _WORDS.items():
            unit = re.sub(word, short, unit, flags=re.IGNORECASE)
    unit = unit.replace(" ", "")
    if not unit.endswith(base) and not (base in "VA" and unit.lower().endswith(base.lower())):
        return None
    return _PREFIXES.get(unit[:-1].lower() if unit[:-1] != "M" else "mega")


def column_unit(meta: Mapping[str, Any], column: str, base: str) -> str | None:
    """Unit that the JSON sidecar gives for a column, in ``Units`` or, as ds004080 does, in the description.

    Parameters
    ----------
    meta : mapping
        Content of the sidecar.
    column : str
    base : {"V", "A", "s", "m"}

    Returns
    -------
    str or None
        None where it says nothing of this kind, or several things.
    """
    entry = meta.get(column)
    if not isinstance(entry, dict):
        return None
    lower = {str(key).lower(): value for key, value in entry.items()}
    stated = lower.get("units")
    if isinstance(stated, str) and stated.strip().lower() not in {"", "n/a"}:
        return stated
    description = str(lower.get("description", ""))
    # Only what follows "in" or stands in brackets: "A" and "us" are words of English, too.
    words = re.findall(r"(?:\bin\s+|[(\[])([^\W\d]+)", description)
    found = {scale: word for word in words if (scale := unit_scale(word, base)) is not None}
    return next(iter(found.values())) if len(found) == 1 else None


def parse_current(cell: str, unit: str | None, *, where: str = "electrical_stimulation_current") -> float:
    """Current of a pulse.

    Parameters
    ----------
    cell : str
        A number with its unit (``6.0 mA``), or a number whose unit the sidecar gives.
    unit : str or None
        Unit of the column; one in the cell goes before it.
    where : str
        What bears the cell, for the message.

    Returns
    -------
    float
        Ampere; NaN for ``n/a``.

    Raises
    ------
    InputError
        If there is no number, no unit, a unit of something else, or no current that a brain is stimulated with.
    """
    if cell.strip().lower() in {"", "n/a", "nan"}:
        return math.nan
    found = _NUMBER.match(cell.strip())
    own = found.group(2).strip() if found else ""
    if found is None:
        raise InputError(f"{where}: wanted a number such as '6.0 mA' or '0.006' (A), got {cell!r}; correct it.")
    stated = own or unit
    if not stated:
        raise InputError(
            f'{where}: {cell!r} has no unit, and the JSON sidecar gives none. Add "Units": "A" (or "mA") to the '
            "column in the events.json, or state it with the setting ccep.current_unit (current_unit of the functions)."
        )
    scale = unit_scale(stated, "A")
    if scale is None:
        raise InputError(f"{where}: wanted a current in A, mA or µA, got the unit {stated!r} ({cell!r}); correct it.")
    current = abs(float(found.group(1).replace(",", ".")) * scale)
    if current and not MIN_CURRENT_A <= current <= MAX_CURRENT_A:
        raise InputError(
            f"{where}: {cell!r} in {stated} is {current:g} A, where {1e3 * MIN_CURRENT_A:g} to {1e3 * MAX_CURRENT_A:g} "
            "mA can be: the unit is wrong. Correct it in the events.json (or the table)."
        )
    return current
