"""Extraction significance of the Canonical Response Parameterisation."""

from __future__ import annotations

from bids_ai.ccep.detectors.base import Detection, Detector, decided
from bids_ai.ccep.features.crp import parameterise
from bids_ai.ccep.trials import Trials

ALPHA = 0.05


def detect(trials: Trials) -> Detection:
    """Judge every channel by the t of its cross-projections at the duration of the response."""
    found = parameterise(trials, shape=False)
    return decided(found.t, found.p < ALPHA)


DETECTOR = Detector(
    "crp",
    "one-sided t of the cross-projections from 15 ms to the duration tau, each pair of trials once: p < .05",
    detect,
    "Miller et al. 2023, doi:10.1371/journal.pcbi.1011105 (PMC10246848)",
)
