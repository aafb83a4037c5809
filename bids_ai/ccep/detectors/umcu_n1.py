"""The N1 detector of Utrecht: a negative peak of 3.4 SD and more, with a floor under the SD."""

from __future__ import annotations

import numpy as np

from bids_ai.ccep.detectors.base import Detection, Detector, decided
from bids_ai.ccep.features.base import UV, first_peak, noise_sd
from bids_ai.ccep.trials import Trials

THRESHOLD_SD = 3.4
#: The SD is never taken lower than this, microvolts: a peak has at least 170 microvolts.
FLOOR_UV = 50.0
WINDOW_S = (0.009, 0.090)
#: A higher peak is artefact, microvolts.
CEILING_UV = 3000.0


def detect(trials: Trials) -> Detection:
    """Negative N1 of every channel against the noise before the pulse."""
    height, _ = first_peak(-trials.average, trials.between(*WINDOW_S), trials.sampling_hz)
    floor = np.maximum(UV * noise_sd(trials), FLOOR_UV)
    ratio = UV * height / floor
    usable = trials.valid.any(axis=0)
    statistic = np.where(usable, np.nan_to_num(ratio), np.nan)
    return decided(statistic, (statistic > THRESHOLD_SD) & (UV * height <= CEILING_UV))


DETECTOR = Detector(
    "umcu-n1",
    "highest negative peak of the average within 9 to 90 ms above 3.4 SD (of -1 to -0.1 s, at least 50 microvolts) "
    "and not above 3000 microvolts",
    detect,
    "van Blooijs et al. 2018, Brain Topography; van Blooijs et al. 2023, doi:10.1038/s41593-023-01272-0",
)
