"""What a check of ``bids-ai doctor`` finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "absent", "note", "broken"]


@dataclass(frozen=True)
class Finding:
    """One line of the table.

    Attributes
    ----------
    section, name : str
        What was looked at.
    state : {"ok", "absent", "note", "broken"}
        absent: a run is possible without it; note: it is there, and less than it could be; broken: no run is possible.
    found : str
        What was found, in words.
    value : str, int, list of str, or None
        The same for programs: a version, bytes, a count, names; None where there is nothing.
    cost : str
        What is lost.
    remedy : str
        How to get it.
    """

    section: str
    name: str
    state: State
    found: str
    value: str | int | list[str] | None = None
    cost: str = ""
    remedy: str = ""
