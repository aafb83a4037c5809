"""Scores that were made before and learn nothing from responses."""

from __future__ import annotations

from collections.abc import Sequence

from bids_ai.ccep.prediction.base import Predictor
from bids_ai.ccep.scoring.recorded import Layout, Recorded
from bids_ai.ccep.trials import Array
from bids_ai.errors import InputError


class Given(Predictor):
    """Scores of pairs that the layout brings along (`Layout.pairs`).

    Parameters
    ----------
    name, label, source : str
        Of the model that made them.
    """

    def __init__(self, name: str, label: str, source: str) -> None:
        self.name, self.label, self.source = name, label, source

    def fit(self, training: Sequence[Recorded]) -> Given:
        """Check that every patient has them."""
        for one in training:
            self.predict(one.layout)
        return self

    def predict(self, layout: Layout) -> Array:
        """Scores as given."""
        if self.name not in layout.pairs:
            raise InputError(f"{layout.patient}: there are no scores of {self.name}.")
        return layout.pairs[self.name]
