"""How loud a channel is at rest: what a model of rest that predicts microvolts has to add to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bids_ai.ccep.prediction.base import Predictor, log_weights
from bids_ai.ccep.scoring.recorded import Layout, Recorded
from bids_ai.ccep.trials import Array
from bids_ai.errors import InputError


class RestAmplitude(Predictor):
    """SD of the channel at rest, the same for all sites. It learns nothing from responses.

    A channel that lies well picks up more of everything, rest and responses alike.
    """

    name = "rest-amplitude"
    label = "the SD of the channel at rest"
    source = "control, docs/ccep_scoring.md"

    def fit(self, training: Sequence[Recorded]) -> RestAmplitude:
        """Check that every patient has it."""
        for one in training:
            self.predict(one.layout)
        return self

    def predict(self, layout: Layout) -> Array:
        """Logarithm of the SD."""
        if layout.channel_rest_sd is None:
            raise InputError(f"{layout.patient}: {self.name} needs `channel_rest_sd`, the SD of channels at rest.")
        return np.tile(log_weights(np.asarray(layout.channel_rest_sd, float)), (layout.shape[0], 1))
