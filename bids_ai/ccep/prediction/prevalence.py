"""Share of responses among training pairs: the same for every pair. What a model has to beat in Brier's score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bids_ai.ccep.prediction.base import Predictor
from bids_ai.ccep.scoring.recorded import Layout, Recorded
from bids_ai.ccep.trials import Array
from bids_ai.errors import InputError


class Prevalence(Predictor):
    """Knows how often there is a response, and how late on the median."""

    name = "prevalence"
    label = "the share of responses"
    source = "reference of the Brier skill score: Murphy 1973, doi:10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2"

    def fit(self, training: Sequence[Recorded]) -> Prevalence:
        """Count responses."""
        judged = [one.responder[one.beyond(0.0)] for one in training if one.responder is not None]
        known = np.concatenate([one[np.isfinite(one)] for one in judged]) if judged else np.empty(0)
        if not known.size:
            raise InputError("prevalence: no training pair was judged a response or none.")
        self.share_ = float(known.mean())
        self.latency_s_ = _median_latency(training)
        return self

    def predict(self, layout: Layout) -> Array:
        """The share, everywhere."""
        return np.full(layout.shape, self.share_)

    def predict_latency(self, layout: Layout) -> Array:
        """Median latency of training responses, everywhere."""
        return np.full(layout.shape, self.latency_s_)


def _median_latency(training: Sequence[Recorded]) -> float:
    found = [
        one.latency_s[one.beyond(0.0) & (one.responder == 1) & np.isfinite(one.latency_s)]
        for one in training
        if one.latency_s is not None and one.responder is not None
    ]
    known = np.concatenate(found) if found else np.empty(0)
    return float(np.median(known)) if known.size else float("nan")
