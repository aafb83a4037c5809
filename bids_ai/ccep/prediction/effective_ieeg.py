"""Effective connectivity of resting iEEG, between channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bids_ai.ccep.prediction.base import Predictor, log_weights
from bids_ai.ccep.scoring.recorded import Layout, Recorded
from bids_ai.ccep.trials import Array
from bids_ai.errors import InputError

#: The mean response over this time is the effective connectivity, s (docs/effective_connectivity.md).
EC_S = 0.1


class EffectiveIeeg(Predictor):
    """Size of the mean response of a channel to a push of the site's contacts. It learns nothing from responses.

    A push of a contact up and one down differ in sign only, and which of both stimulation is depends on where the
    contact lies in the cortex; hence the root of the mean square over both contacts, and not their difference.
    """

    name = "ec-ieeg"
    label = "effective connectivity of resting iEEG"
    source = "Luo et al. 2025, doi:10.1038/s41592-025-02654-x; Crocker et al. 2021 (resting iEEG and CCEPs)"

    def fit(self, training: Sequence[Recorded]) -> EffectiveIeeg:
        """Check that every patient has a model."""
        for one in training:
            self.predict(one.layout)
        return self

    def predict(self, layout: Layout) -> Array:
        """Logarithm of the size."""
        if layout.impulses is None or layout.impulse_times_s is None:
            raise InputError(f"{layout.patient}: {self.name} needs `impulses` of a model of resting iEEG, got none.")
        early = layout.impulse_times_s <= EC_S + 1e-9
        if not early.any():
            raise InputError(f"{layout.patient}: the impulse response has no step within {EC_S:g} s.")
        return layout.remembered(f"score {self.name}", lambda own: _score(own, int(early.sum())))


def _score(layout: Layout, n_steps: int) -> Array:
    assert layout.impulses is not None  # `predict` has looked
    mean = layout.impulses[..., :n_steps].mean(axis=-1)[layout.site_contacts]
    # One contact may not be in the model.
    known = np.isfinite(mean)
    count = known.sum(axis=1)
    squares = np.where(known, mean, 0.0) ** 2
    size = np.sqrt(np.divide(squares.sum(axis=1), count, out=np.full(layout.shape, np.nan), where=count > 0))
    return log_weights(size)
