"""What a model says of sites that it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bids_ai.ccep.scoring.recorded import Recorded
from bids_ai.ccep.trials import Array
from bids_ai.errors import InputError


@dataclass(frozen=True, eq=False)
class Predicted:
    """Out-of-sample prediction of every site under one split; sequences have one array per patient.

    Attributes
    ----------
    score : sequence of array, shape (n_sites, n_channels)
        Higher for larger responses, in any unit; NaN where the model says nothing.
    probability : sequence of array, shape (n_sites, n_channels), optional
        Of a response.
    latency_s : sequence of array, shape (n_sites, n_channels), optional
    waveforms : sequence of array, shape (n_sites, n_channels, n_times), optional
        At the recorded times, in the recorded unit.
    reason : str
        Why there is no prediction, for sites that have none.
    by_channel : bool
        The model learns something of each channel from the other sites. What such a prediction holds of a site is what
        the site lacks in the mean of the others, so that `specific_spearman` would be negative without any reason.
    no_latency : str
        Why the model gives no latency.
    """

    score: Sequence[Array]
    probability: Sequence[Array] | None = None
    latency_s: Sequence[Array] | None = None
    waveforms: Sequence[Array] | None = None
    reason: str = ""
    no_latency: str = ""
    by_channel: bool = False

    def check(self, recorded: Sequence[Recorded], name: str) -> None:
        """Refuse a prediction of other shapes than the recording, or one with infinite values.

        Raises
        ------
        InputError
        """
        for what in ("score", "probability", "latency_s", "waveforms"):
            values = getattr(self, what)
            if values is None:
                continue
            got = [one.shape[:2] for one in values]
            wanted = [one.layout.shape for one in recorded]
            if got != wanted:
                raise InputError(f"{name}: {what} of shapes {wanted} is wanted, one for each patient, got {got}.")
            if any(np.isinf(one).any() for one in values):
                raise InputError(f"{name}: {what} is infinite somewhere; what is unknown must be NaN.")
            if what == "waveforms" and any(
                one.waveforms is not None and one.waveforms.shape != own.shape
                for one, own in zip(recorded, values, strict=True)
            ):
                raise InputError(f"{name}: waveforms must be at the times of the recorded ones.")


Prediction = Mapping[str, Predicted]
"""Name of a split -> prediction under it."""
