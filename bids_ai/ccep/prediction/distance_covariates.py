"""Distance, and what else is known of contacts without any model of the brain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bids_ai.ccep.prediction.base import Predictor
from bids_ai.ccep.prediction.distance import Distance
from bids_ai.ccep.prediction.ridge import PairRidge
from bids_ai.ccep.scoring.recorded import Layout, Recorded
from bids_ai.ccep.trials import Array

#: How tissue is labelled where it is grey.
GREY = "GM"


class DistanceCovariates(Predictor):
    """Ridge on exp(-d / lambda), same lead, same hemisphere, grey matter of site and of channel, log current.

    What is not given, or not known of a contact, counts as the mean of what is known.
    """

    name = "distance-covariates"
    label = "distance, lead, hemisphere, tissue and current"
    source = "covariates: Paulk et al. 2022; Mitsuhashi et al. 2020 (PMC7704665); Hays et al. 2021 (PMC8545910)"

    def fit(self, training: Sequence[Recorded]) -> DistanceCovariates:
        """Fit lambda, then the weights."""
        self.distance_ = Distance().fit(training)
        self.ridge_ = PairRidge(free=1, by_site=False).fit(training, self._columns)
        return self

    def predict(self, layout: Layout) -> Array:
        """Weighted sum."""
        return self.ridge_.predict(layout, self._columns)

    def predict_latency(self, layout: Layout) -> Array:
        """That of distance."""
        return self.distance_.predict_latency(layout)

    def _columns(self, layout: Layout) -> list[Array]:
        nothing = np.full(layout.shape, np.nan)
        hemisphere = nothing if layout.contact_hemispheres is None else layout.shared(layout.contact_hemispheres)
        site_grey, channel_grey = nothing, nothing
        if layout.contact_tissues is not None:
            grey = np.where(layout.contact_tissues == "", np.nan, (layout.contact_tissues == GREY).astype(float))
            site_grey = np.repeat(grey[layout.site_contacts].mean(axis=1)[:, None], layout.shape[1], axis=1)
            channel_grey = np.repeat(grey[layout.channel_contacts].mean(axis=1)[None], layout.shape[0], axis=0)
        current = nothing
        if layout.current_a is not None:
            log_current = np.log(np.where(layout.current_a > 0, layout.current_a, np.nan))
            current = np.repeat(log_current[:, None], layout.shape[1], axis=1)
        others = [layout.shared(layout.contact_leads), hemisphere, site_grey, channel_grey, current]
        return [self.distance_.predict(layout), *map(_filled, others)]


def _filled(values: Array) -> Array:
    known = np.isfinite(values)
    return np.where(known, values, values[known].mean() if known.any() else 0.0)
