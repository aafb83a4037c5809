"""Almost-linear recurrence: ridge VAR plus a few clipped piecewise-linear units, trained over sequences.

x(t+1) = linear(x) + clip(x U + b, -h/2, h/2) V. Clipped units bend the dynamics between two thresholds and are
bounded, so that free-running trajectories diverge only if the linear part does. Trained by generalised teacher
forcing, the model learns to go on from its own predictions.

References
----------
Clipped shallow piecewise-linear recurrence and generalised teacher forcing: Hess et al. 2023, arXiv:2306.04406.
Dendritic units: Brenner et al. 2022, arXiv:2207.02542. Few nonlinear units: Brenner et al. 2024, arXiv:2410.14240.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bids_ai.surrogate.families.layers import Dense, along, newest_unit_start, zero
from bids_ai.surrogate.families.residual import Correction, residual_family, width_between

SEQUENCE = {"unroll": 5, "forcing": 0.8, "batch_size": 32}
"""Steps predicted from every sample, and share of the observed frame in what the next step starts from."""


class PiecewiseLinear(Correction):
    """Units clip(u, -h/2, h/2) = relu(u + h/2) - relu(u - h/2) - h/2 of u = x U + b: linear between two thresholds.

    | name | shape |
    |---|---|
    | units | (order * n_regions, units) |
    | height | (units): h, distance of the thresholds |
    | output | (units, n_regions) |
    """

    def __init__(self, n_regions: int, order: int, units: int) -> None:
        super().__init__()
        self.units = Dense(order * n_regions, units)
        self.output = zero(Dense(units, n_regions))
        newest_unit_start(self.units, n_regions)
        self.height = nn.Parameter(1 + torch.rand(units))

    def forward(self, history: Tensor) -> Tensor:
        """Correction of the linear prediction."""
        drive = self.units(history.flatten(-2))
        half = along(self.height) / 2
        out: Tensor = self.output(torch.relu(drive + half) - torch.relu(drive - half) - half)
        return out


FAMILY = residual_family(
    "almost-linear", PiecewiseLinear, width=width_between(8, 64), width_option="units", defaults=SEQUENCE
)
