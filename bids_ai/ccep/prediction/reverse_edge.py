"""The same pair, measured the other way round."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bids_ai.ccep.prediction.base import Predictor
from bids_ai.ccep.scoring.direction import site_matrix
from bids_ai.ccep.scoring.recorded import Layout, Recorded, log_amplitude
from bids_ai.ccep.trials import Array
from bids_ai.errors import InputError


class ReverseEdge(Predictor):
    """Response of the site's contacts to stimulation of the channel's: what a symmetric brain would tell.

    Splits that do not leak hide it, so that it has a number in `splits.PLAIN` only.
    """

    name = "reverse-edge"
    label = "the pair measured the other way round"
    source = "within-patient ceiling, docs/ccep_scoring.md"
    within_patient = True
    needs_reversed = True

    def fit(self, training: Sequence[Recorded]) -> ReverseEdge:
        """Keep the responses between sites."""
        self.between_ = {one.layout.patient: site_matrix(one, log_amplitude(one)) for one in training}
        if not any(np.isfinite(one).any() for one in self.between_.values()):
            raise InputError("reverse-edge: no training site was recorded where another one was stimulated.")
        return self

    def predict(self, layout: Layout) -> Array:
        """Mean over the sites that a channel takes part in; NaN for channels that were not stimulated."""
        if layout.patient not in self.between_:
            return np.full(layout.shape, np.nan)
        # (site of the channel, site) -> (site, channel)
        back = self.between_[layout.patient].T
        known = np.isfinite(back)
        touches = layout.touches.astype(float)
        count = known.astype(float) @ touches
        total = np.where(known, back, 0.0) @ touches
        return np.divide(total, count, out=np.full(layout.shape, np.nan), where=count > 0)
