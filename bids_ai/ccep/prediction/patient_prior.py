"""Probability of a response between the same regions in other patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bids_ai.ccep.matrices import pair_matrices
from bids_ai.ccep.prediction.base import Predictor, region_pairs
from bids_ai.ccep.scoring.recorded import Layout, Recorded
from bids_ai.ccep.trials import Array
from bids_ai.errors import InputError


class PatientPrior(Predictor):
    """Share of tested pairs that respond in the training patients, for each pair of regions, drawn to their mean.

    A pair of regions that no training patient had tested is unknown. The pull is that of one tested pair, so that one
    response in one patient is not taken for certainty.
    """

    name = "patient-prior"
    label = "responses of the other patients between the same regions"
    source = "Trebaul et al. 2018 (PMC6150949)"

    def fit(self, training: Sequence[Recorded]) -> PatientPrior:
        """Count responses between regions."""
        counts: list[Array] = []
        for one in training:
            sites, channels = one.layout.site_shares, one.layout.channel_shares
            if sites is None or channels is None or one.responder is None:
                raise InputError(f"{one.layout.patient}: {self.name} needs responders and regions.")
            found = pair_matrices(one.responder, {}, sites, channels)
            counts.append(np.stack([found.tested, found.responses]))
        tested, responses = np.sum(counts, axis=0) if counts else np.zeros((2, 1, 1))
        if not tested.any():
            raise InputError(f"{self.name}: no pair of regions was tested in a training patient.")
        mean = responses.sum() / tested.sum()
        self.probability_ = np.where(tested > 0, (responses + mean) / (tested + 1.0), np.nan)
        return self

    def predict(self, layout: Layout) -> Array:
        """Probability of the pairs."""
        return region_pairs(layout, self.probability_)
