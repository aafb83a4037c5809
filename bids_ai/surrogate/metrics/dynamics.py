"""The scores of a free-running series together, and what references score on the same recording."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from bids_ai.surrogate.metrics.connectivity import Moments, connectivity_scores, moments
from bids_ai.surrogate.metrics.dynamic_fc import WINDOW_S, fcd_similarities, ks_distance
from bids_ai.surrogate.metrics.phase import phase_randomised
from bids_ai.surrogate.metrics.power import d_hellinger, segment_length
from bids_ai.surrogate.metrics.series import Series, stretches
from bids_ai.surrogate.metrics.state_space import d_stsp
from bids_ai.surrogate.usable import FloatArray

Scores = dict[str, float | None]
"""JSON-able: finite, or None."""

SCORE_NAMES = (
    "fc_r",
    "fc_rmse",
    "lagged_covariance_r",
    "lagged_antisymmetric_r",
    "fcd_ks",
    "d_stsp",
    "d_stsp_dropped",
    "d_hellinger",
)
"""What `Recorded.compare` gives."""


@dataclass
class Recorded:
    """A recording, with what every comparison with it needs.

    Parameters
    ----------
    series : Series
        SD units, NaN rows where censored.
    tr : float
        Seconds.
    seed : int
        Of the Monte Carlo samples and the random phases.
    window_s : float
        Window of the dynamic FC, seconds.
    """

    series: Series
    tr: float
    seed: int
    window_s: float = WINDOW_S
    halves: tuple[Series, Series] = field(init=False)
    moments: Moments = field(init=False)
    fcd: FloatArray = field(init=False)
    segment: int = field(init=False)

    def __post_init__(self) -> None:
        """Compute the parts."""
        self.halves = halves(self.series)
        self.moments = moments(self.series)
        self.fcd = fcd_similarities(self.series, self.window)
        # One length for all comparisons, the halves included: spectra of another resolution have another distance.
        self.segment = segment_length(*self.halves)

    @property
    def window(self) -> int:
        """Window of the dynamic FC, frames."""
        return max(3, round(self.window_s / self.tr))

    def compare(self, generated: Series) -> Scores:
        """Scores of a generated series: see docs/evaluation.md.

        Returns
        -------
        dict
            Keys `SCORE_NAMES`.
        """
        divergence = d_stsp(self.series, generated, seed=self.seed)
        longest = max((len(piece) for piece in stretches(generated)), default=0)
        scores = {
            **connectivity_scores(self.moments, moments(generated)),
            "fcd_ks": ks_distance(self.fcd, fcd_similarities(generated, self.window)),
            "d_stsp": divergence.nats,
            "d_stsp_dropped": divergence.dropped,
            "d_hellinger": d_hellinger(self.series, generated, self.segment) if longest >= self.segment else math.nan,
        }
        return finite_or_none(scores)

    def references(self) -> dict[str, Scores]:
        """What other series score against this recording.

        Returns
        -------
        dict
            `other_half`: the second half of the recording against the first, the ceiling (conservative, since a half
            is shorter). `phase_randomised`: all linear, Gaussian, stationary properties kept.
            `phase_randomised_apart`: each region for itself, no coupling.
        """
        first, second = self.halves
        together = phase_randomised(self.series, self.seed, common=True)
        apart = phase_randomised(self.series, self.seed, common=False)
        half = Recorded.of_half(first, self)
        return {
            "other_half": half.compare(second),
            "phase_randomised": self.compare(together),
            "phase_randomised_apart": self.compare(apart),
        }

    @staticmethod
    def of_half(half: Series, whole: Recorded) -> Recorded:
        """Half of a recording, compared at the resolution of the whole."""
        recorded = Recorded(half, whole.tr, whole.seed, whole.window_s)
        recorded.segment = whole.segment
        return recorded


def halves(series: Series) -> tuple[list[FloatArray], list[FloatArray]]:
    """Cut a series in two parts of the same number of usable frames, in time; runs and gaps stay apart."""
    pieces = stretches(series)
    middle = sum(len(piece) for piece in pieces) // 2
    first: list[FloatArray] = []
    second: list[FloatArray] = []
    seen = 0
    for piece in pieces:
        cut = int(np.clip(middle - seen, 0, len(piece)))
        first += [piece[:cut]] if cut else []
        second += [piece[cut:]] if cut < len(piece) else []
        seen += len(piece)
    return first, second


def finite_or_none(scores: Mapping[str, float]) -> Scores:
    """Python floats, None for what is not finite."""
    return {name: float(value) if math.isfinite(value) else None for name, value in scores.items()}


def mean_scores(scores: list[Scores]) -> Scores:
    """Mean over the members of an ensemble; None where any member has none."""
    names = scores[0]
    columns = {name: [item[name] for item in scores] for name in names}
    return {
        name: None if any(value is None for value in values) else float(np.mean([v for v in values if v is not None]))
        for name, values in columns.items()
    }
