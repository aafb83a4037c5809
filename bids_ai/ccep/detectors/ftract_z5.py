"""The detector of F-TRACT: a z of five against the baseline of the average."""

from __future__ import annotations

import numpy as np

from bids_ai.ccep.detectors.base import Detection, Detector, decided
from bids_ai.ccep.features.zscore import Z_THRESHOLD, robust_average, z_wave
from bids_ai.ccep.trials import RESPONSE_START_S, Trials

#: F-TRACT's general window ends here, s.
END_S = 0.1


def detect(trials: Trials) -> Detection:
    """Largest absolute z of every channel."""
    z = np.abs(z_wave(robust_average(trials), trials)[:, trials.between(RESPONSE_START_S, END_S)])
    largest = z.max(axis=1)
    return decided(largest, largest >= Z_THRESHOLD)


DETECTOR = Detector(
    "ftract-z5",
    "|z| of 5 and more within 11 to 100 ms; robust average below 45 Hz, z by the baseline of the average",
    detect,
    "Trebaul et al. 2018 (PMC6150949)",
)
