"""The surrogate families, by name. A new family is one file and one line here."""

from __future__ import annotations

from importlib import import_module

from bids_ai.errors import InputError
from bids_ai.surrogate.base import Family

FAMILIES = {
    "ridge-var": "bids_ai.surrogate.families.ridge_var",
    "mlp": "bids_ai.surrogate.families.mlp",
    "npi-mlp": "bids_ai.surrogate.families.npi_mlp",
}
"""Name -> module that defines FAMILY; imported when asked for."""


def get_family(name: str) -> Family:
    """Family by name.

    Raises
    ------
    InputError
        For an unknown name, with the known ones.
    """
    if name not in FAMILIES:
        raise InputError(f"Unknown surrogate model {name!r}: choose one of {', '.join(FAMILIES)}.")
    family: Family = import_module(FAMILIES[name]).FAMILY
    return family
