"""The cross-projection detector of ER-Detect: trials that are alike in a fixed early window."""

from __future__ import annotations

from bids_ai.ccep.detectors.base import Detection, Detector, decided
from bids_ai.ccep.features.crp import fixed_window_t
from bids_ai.ccep.trials import Trials

WINDOW_S = (0.012, 0.090)
THRESHOLD_T = 3.5


def detect(trials: Trials) -> Detection:
    """Judge every channel by the t of its cross-projections in the window."""
    t = fixed_window_t(trials, *WINDOW_S)
    return decided(t, t > THRESHOLD_T)


DETECTOR = Detector(
    "er-detect",
    "t of the cross-projections from 12 to 90 ms, each pair of trials once, above 3.5",
    detect,
    "ER-Detect (Multimodal Neuroimaging Lab), as documented; cross-projections: doi:10.1371/journal.pcbi.1011105",
)
