"""Neural ordinary differential equation on top of ridge VAR: a latent flow over one sampling interval.

The solver is the classical Runge-Kutta of fourth order with fixed steps, written out here: that of torchdiffeq 0.2.5
cannot run under torch.func.vmap over weights (it works in place on tensors that are not batched), takes twice as
long for a network of this size, and a second to import.

References
----------
Chen et al. 2018, Neural ordinary differential equations, arXiv:1806.07366.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bids_ai.surrogate.families.layers import Dense, newest_unit_start, zero
from bids_ai.surrogate.families.residual import Correction, residual_family, width_between

N_STEPS = 2
"""Runge-Kutta steps per sampling interval."""


class LatentFlow(Correction):
    """z(0) = tanh(x U + b); dz/dt = -z + tanh(z W + c) over t = 0 ... 1; g = (z(1), z(0)) V.

    Time is in sampling intervals. The latent state cannot leave (-1, 1).

    | layer | shape |
    |---|---|
    | encoder | (order * n_regions, hidden), tanh |
    | field | (hidden, hidden), tanh |
    | output | (hidden, n_regions) |
    """

    def __init__(self, n_regions: int, order: int, hidden: int) -> None:
        super().__init__()
        self.encoder = Dense(order * n_regions, hidden)
        self.field = Dense(hidden, hidden)
        self.output = zero(Dense(hidden, n_regions))
        newest_unit_start(self.encoder, n_regions)

    def velocity(self, state: Tensor) -> Tensor:
        """dz/dt."""
        out: Tensor = torch.tanh(self.field(state)) - state
        return out

    def forward(self, history: Tensor) -> Tensor:
        """Correction of the linear prediction."""
        start = torch.tanh(self.encoder(history.flatten(-2)))
        out: Tensor = self.output(runge_kutta(self.velocity, start, N_STEPS))
        return out


def runge_kutta(velocity: Callable[[Tensor], Tensor], state: Tensor, n_steps: int) -> Tensor:
    """State after unit time, by the classical method of fourth order with equal steps."""
    h = 1 / n_steps
    for _ in range(n_steps):
        first = velocity(state)
        second = velocity(state + h / 2 * first)
        third = velocity(state + h / 2 * second)
        fourth = velocity(state + h * third)
        state = state + h / 6 * (first + 2 * (second + third) + fourth)
    return state


FAMILY = residual_family("neural-ode", LatentFlow, width=width_between(8, 64))
