"""The surrogate families, by name. A new family is one file and one line here.

Importing this module is cheap: a family, and torch with it, is imported when asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from bids_ai.errors import InputError

if TYPE_CHECKING:
    from bids_ai.surrogate.base import Family

FAMILIES = {
    "ridge-var": "bids_ai.surrogate.families.ridge_var",
    "ou": "bids_ai.surrogate.families.ou",
    "state-space": "bids_ai.surrogate.families.state_space",
    "sc-ridge": "bids_ai.surrogate.families.sc_ridge",
    "neural-mass": "bids_ai.surrogate.families.neural_mass",
    "mlp": "bids_ai.surrogate.families.mlp",
    "cnn": "bids_ai.surrogate.families.cnn",
    "rnn": "bids_ai.surrogate.families.rnn",
    "low-rank-rnn": "bids_ai.surrogate.families.low_rank_rnn",
    "ei-rnn": "bids_ai.surrogate.families.ei_rnn",
    "almost-linear": "bids_ai.surrogate.families.almost_linear",
    "local-nonlinear": "bids_ai.surrogate.families.local_nonlinear",
    "neural-ode": "bids_ai.surrogate.families.neural_ode",
    "transformer": "bids_ai.surrogate.families.transformer",
    "npi-mlp": "bids_ai.surrogate.families.npi_mlp",
    "npi-cnn": "bids_ai.surrogate.families.npi_cnn",
    "npi-rnn": "bids_ai.surrogate.families.npi_rnn",
}
"""Name -> module that defines FAMILY; imported when asked for."""

STRUCTURAL = {"state-space": False, "sc-ridge": True, "neural-mass": True}
"""Families that read a structural connectivity -> whether they need one."""


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
