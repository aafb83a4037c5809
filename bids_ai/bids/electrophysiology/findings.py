"""What was odd in a recording, and what was done about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

_SHOWN = 8


@dataclass(frozen=True)
class Finding:
    """One oddity of a recording or its tables.

    Attributes
    ----------
    code : str
        Short name, such as ``swapped-cutoffs``.
    message : str
        What was found and what was done, for the report.
    count : int
        Rows, channels or pulses it concerns.
    items : tuple of str
        Which, as far as they have names.
    severity : {"note", "warning"}
        A warning may change results.
    """

    code: str
    message: str
    count: int = 1
    items: tuple[str, ...] = ()
    severity: Literal["note", "warning"] = "warning"

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"


def shown(items: Iterable[object], most: int = _SHOWN) -> str:
    """List the first of some names for a message."""
    names = [str(item) for item in items]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
