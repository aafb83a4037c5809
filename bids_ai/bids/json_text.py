"""JSON of other people: the same values as everybody reads, without what Python alone makes of it.

Python's reader admits numbers that no float holds, NaN, letters that cannot be written again, and any depth until its
stack ends. Each of these would break whoever uses the value, far from the file.
"""

from __future__ import annotations

import json
import math
from typing import Any

#: Sidecars are two or three levels deep.
MOST_LEVELS = 60
_DIGITS = 300  # an integer of so many is within the range of a float


def parse_json(text: str) -> Any:
    """Read JSON.

    Parameters
    ----------
    text : str

    Returns
    -------
    object
        Numbers are finite: NaN, infinity and what is as large are None, which is missing. Half of a pair of surrogates
        is a question mark.

    Raises
    ------
    ValueError
        If it is no JSON (`json.JSONDecodeError`), or nested beyond any use.
    """
    try:
        content = json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=lambda name: None)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if text.count("[") + text.count("{") > MOST_LEVELS and _levels(content) > MOST_LEVELS:
        raise ValueError(f"it is nested more than {MOST_LEVELS} levels deep")
    return _writable(content) if "\\ud" in text.lower() else content


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) <= _DIGITS else None


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _levels(content: Any) -> int:
    """How deep lists and objects are nested, reckoned level by level: recursion is what ends too early."""
    level, depth = [content], 0
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return depth


def _writable(value: Any) -> Any:
    if isinstance(value, dict):
        return {_writable(key): _writable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_writable(item) for item in value]
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value
