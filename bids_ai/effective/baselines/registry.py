"""The baselines, by name. A new one is one file and one line here."""

from __future__ import annotations

from importlib import import_module

from bids_ai.effective.baselines.base import Baseline
from bids_ai.errors import InputError

PACKAGE = "bids_ai.effective.baselines"

BASELINES = {
    "pearson": f"{PACKAGE}.pearson",
    "partial-correlation": f"{PACKAGE}.partial_correlation",
    "lagged-correlation": f"{PACKAGE}.lagged_correlation",
    "lagged-covariance": f"{PACKAGE}.lagged_covariance",
    "var-coefficient": f"{PACKAGE}.var_coefficient",
    "granger": f"{PACKAGE}.conditional_granger",
    "bivariate-granger": f"{PACKAGE}.bivariate_granger",
    "transfer-entropy": f"{PACKAGE}.transfer_entropy",
    "mou-ec": f"{PACKAGE}.mou",
    "rdcm": f"{PACKAGE}.regression_dcm",
    "structural": f"{PACKAGE}.structural",
    "structural-functional": f"{PACKAGE}.structural_functional",
    "communicability": f"{PACKAGE}.communicability",
}
"""Name -> module that defines BASELINE; imported when asked for."""


def get_baseline(name: str) -> Baseline:
    """Baseline by name.

    Raises
    ------
    InputError
        For an unknown name, with the known ones.
    """
    if name not in BASELINES:
        raise InputError(f"Unknown baseline {name!r}: choose one of {', '.join(BASELINES)}.")
    baseline: Baseline = import_module(BASELINES[name]).BASELINE
    return baseline
