"""Mean response of a channel to the training sites: some channels respond to everything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bids_ai.ccep.prediction.base import Predictor
from bids_ai.ccep.scoring.recorded import Layout, Recorded, log_amplitude
from bids_ai.ccep.trials import Array
from bids_ai.errors import InputError


class ChannelPrevalence(Predictor):
    """Knows the channels of a patient, nothing of sites."""

    name = "channel-mean"
    label = "the mean log amplitude of a channel over training sites"
    source = "column effect of a two-way table"
    within_patient = True

    def fit(self, training: Sequence[Recorded]) -> ChannelPrevalence:
        """Sum up log amplitudes of every channel, less the site's mean so that strong sites do not weigh more."""
        self.sums_: dict[str, tuple[Array, Array, Array]] = {}
        for one in training:
            values = log_amplitude(one)
            known = np.isfinite(values)
            count = np.maximum(known.sum(axis=1, keepdims=True), 1)
            left = np.where(known, values - np.where(known, values, 0.0).sum(axis=1, keepdims=True) / count, 0.0)
            self.sums_[one.layout.patient] = (left, known, left.sum(axis=0))
        if not any(known.any() for _, known, _ in self.sums_.values()):
            raise InputError("channel-mean: there is no training amplitude.")
        return self

    def predict(self, layout: Layout) -> Array:
        """Mean over training sites other than the site itself; NaN for channels without any."""
        if layout.patient not in self.sums_:
            return np.full(layout.shape, np.nan)
        left, known, total = self.sums_[layout.patient]
        count = known.sum(axis=0) - known
        return np.divide(total - left, count, out=np.full(layout.shape, np.nan), where=count > 0)
