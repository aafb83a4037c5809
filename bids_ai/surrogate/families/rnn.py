"""Gated recurrence over the lags on top of ridge VAR.

References
----------
Gated recurrent unit: Cho et al. 2014, arXiv:1406.1078. As a surrogate brain: Luo et al. 2025, Nature Methods,
doi:10.1038/s41592-025-02654-x (whose network reads one lag only, see `npi-rnn`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from bids_ai.surrogate.families.layers import Dense, newest_unit_start, per_lag, zero
from bids_ai.surrogate.families.residual import Correction, residual_family, width_between


class GatedRecurrence(Correction):
    """A state that starts at zero and reads the lags from the oldest to the newest.

    h <- (1 - z) h + z tanh(x U + (r h) W), with the gates z and r between 0 and 1.

    | layer | shape |
    |---|---|
    | candidate | (n_regions, hidden), tanh |
    | gates | (n_regions, 2 * hidden), logistic |
    | recurrent | (hidden, hidden) |
    | recurrent_gates | (hidden, 2 * hidden) |
    | output | (hidden, n_regions) |
    """

    def __init__(self, n_regions: int, order: int, hidden: int) -> None:
        super().__init__()
        self.candidate = Dense(n_regions, hidden)
        self.gates = Dense(n_regions, 2 * hidden)
        self.recurrent = Dense(hidden, hidden)
        self.recurrent_gates = Dense(hidden, 2 * hidden)
        self.output = zero(Dense(hidden, n_regions))
        newest_unit_start(self.candidate, n_regions)

    def forward(self, history: Tensor) -> Tensor:
        """Correction of the linear prediction."""
        drive, gates = per_lag(self.candidate, history), per_lag(self.gates, history)
        state = torch.zeros_like(drive[..., 0, :])
        for lag in range(history.shape[-2]):
            update, reset = torch.sigmoid(gates[..., lag, :] + self.recurrent_gates(state)).chunk(2, dim=-1)
            candidate = torch.tanh(drive[..., lag, :] + self.recurrent(reset * state))
            state = torch.lerp(state, candidate, update)
        out: Tensor = self.output(state)
        return out


FAMILY = residual_family("rnn", GatedRecurrence, width=width_between(8, 64), all_lags=True)
