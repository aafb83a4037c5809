"""Options of a family: known names, known types, nothing silently ignored."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from bids_ai.errors import InputError


def read_options(given: Mapping[str, Any], defaults: Mapping[str, Any], family: str) -> dict[str, Any]:
    """Merge the options given over the defaults.

    Raises
    ------
    InputError
        For an unknown option (with the nearest known one) or a value that is not a positive number.
    """
    for name, value in given.items():
        if name not in defaults:
            near = difflib.get_close_matches(name, defaults, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            known = ", ".join(defaults) or "none"
            raise InputError(f"{family} has no option {name!r} (known: {known}).{hint}")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            raise InputError(f"{family}: option {name!r} must be a non-negative number, got {value!r}.")
    return {**defaults, **given}
