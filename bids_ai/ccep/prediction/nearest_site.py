"""The response to the nearest site that was stimulated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bids_ai.ccep.prediction.base import Predictor
from bids_ai.ccep.scoring.recorded import Layout, Recorded, log_amplitude
from bids_ai.ccep.trials import Array
from bids_ai.errors import InputError


class NearestSite(Predictor):
    """Copies, channel by channel, the log amplitude of the nearest training site that has one."""

    name = "nearest-site"
    label = "the nearest stimulated site of the patient"
    source = "within-patient ceiling, docs/ccep_scoring.md"
    within_patient = True

    def fit(self, training: Sequence[Recorded]) -> NearestSite:
        """Keep the responses."""
        self.values_ = {one.layout.patient: log_amplitude(one) for one in training}
        if not any(np.isfinite(one).any() for one in self.values_.values()):
            raise InputError("nearest-site: there is no training amplitude.")
        return self

    def predict(self, layout: Layout) -> Array:
        """Log amplitude at the nearest other site; NaN where no training site has one."""
        if layout.patient not in self.values_:
            return np.full(layout.shape, np.nan)
        middles = layout.contact_positions_mm[layout.site_contacts].mean(axis=1)
        apart = np.linalg.norm(middles[:, None] - middles[None], axis=-1)
        np.fill_diagonal(apart, np.nan)
        values = self.values_[layout.patient]
        out = np.full(layout.shape, np.nan)
        for site, distances in enumerate(apart):
            order = np.argsort(distances)[: int(np.isfinite(distances).sum())]
            for other in order:
                empty = np.isnan(out[site])
                if not empty.any():
                    break
                out[site, empty] = values[other, empty]
        return out
