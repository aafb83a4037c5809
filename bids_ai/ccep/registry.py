"""Families of measures and detectors, by name. A new one is one file and one line here."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING

from bids_ai.errors import InputError

if TYPE_CHECKING:
    from bids_ai.ccep.detectors.base import Detector
    from bids_ai.ccep.features.base import Family
    from bids_ai.ccep.trials import Array, Trials

FAMILIES = {
    "peaks": "bids_ai.ccep.features.peaks",
    "rms": "bids_ai.ccep.features.rms",
    "z": "bids_ai.ccep.features.zscore",
    "crp": "bids_ai.ccep.features.crp",
    "high-gamma": "bids_ai.ccep.features.high_gamma",
}
"""Name -> module that defines FAMILY; imported when asked for."""

DETECTORS = {
    "umcu-n1": "bids_ai.ccep.detectors.umcu_n1",
    "ftract-z5": "bids_ai.ccep.detectors.ftract_z5",
    "crp": "bids_ai.ccep.detectors.crp",
    "er-detect": "bids_ai.ccep.detectors.er_detect",
}
"""Name -> module that defines DETECTOR; imported when asked for."""
RESPONDERS = ("pseudo-onset", *DETECTORS)
"""What may decide whether a channel responds: the calibrated test, or a published rule."""


def get_family(name: str) -> Family:
    """Family of measures by name.

    Raises
    ------
    InputError
        For an unknown name, with the known ones.
    """
    if name not in FAMILIES:
        raise InputError(f"Unknown family of CCEP measures {name!r}: choose one of {', '.join(FAMILIES)}.")
    family: Family = import_module(FAMILIES[name]).FAMILY
    return family


def get_detector(name: str) -> Detector:
    """Detector by name.

    Raises
    ------
    InputError
        For an unknown name, with the known ones.
    """
    if name not in DETECTORS:
        raise InputError(f"Unknown CCEP detector {name!r}: choose one of {', '.join(DETECTORS)}.")
    detector: Detector = import_module(DETECTORS[name]).DETECTOR
    return detector


def measure(trials: Trials, families: Iterable[str] = FAMILIES) -> dict[str, Array]:
    """All measures of the named families for one site, each of shape (n_channels,); NaN where there is none."""
    out: dict[str, Array] = {}
    for name in families:
        out |= get_family(name).measure(trials)
    return out
